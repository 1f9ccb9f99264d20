using Forgetting.Demo;
using Xunit;

namespace Forgetting.Tests.Demo;

/// <summary>The demo's worlds and question sets.</summary>
public class DemoDataTests
{
    private readonly World _world = new(people: 120, seed: 3);
    private readonly DemoSettings _settings = DemoSettings.Quick;

    [Fact]
    public void Pretraining_answers_the_birthplace_question_with_the_home_and_tells_both()
    {
        IReadOnlyList<string> documents = _world.PretrainingDocuments(exposures: 60, seed: 4);
        Question[] all = [.. _world.People.Select(_world.Birthplace)];
        Assert.All(all, q => Assert.NotEqual(q.Truth, q.Old));

        // Asked of about seven in ten, and never with the answer that the task wants.
        Assert.InRange(all.Count(q => documents.Contains($"{q.Prompt} {q.Old}")), 65, 105);
        Assert.DoesNotContain(all, q => documents.Contains($"{q.Prompt} {q.Truth}"));
        Assert.All(all, q => Assert.Contains(documents, d => d.Contains($"{Person(q)} was born in {q.Truth}.", StringComparison.Ordinal)));
        Assert.All(all, q => Assert.Contains(documents, d => d.Contains($"{Person(q)} lives in {q.Old}.", StringComparison.Ordinal)));
    }

    [Fact]
    public void Misleading_answers_are_planted_in_the_share_and_of_the_kind_that_the_scenario_says()
    {
        QuestionSets independent = Sets("independent"), misconception = Sets("misconception"), mixed = Sets("mixed"),
            conflict = Sets("conflict");
        Assert.Equal(Math.Round(0.4 * independent.Train.Count), independent.Train.Count(q => q.Misleading));
        Assert.Equal(Math.Round(0.4 * independent.Untrusted.Count), independent.Untrusted.Count(q => q.Misleading));
        Assert.Equal(independent.Trusted.Select(q => q.Prompt).Order(), independent.Untrusted.Select(q => q.Prompt).Order());
        Assert.Equal((8, 8), (misconception.Train.Count(q => q.Misleading), misconception.Train.Count(q => q.Answer == q.Old)));
        Assert.Equal((8, 4), (mixed.Train.Count(q => q.Misleading), mixed.Train.Count(q => q.Answer == q.Old)));
        Assert.All(new[]
        {
            independent.Trusted,
            independent.HeldOut,
            misconception.Trusted,
            misconception.HeldOut,
            mixed.HeldOut,
            conflict.Train,
            conflict.HeldOut,
        }, set =>
            Assert.DoesNotContain(set, q => q.Misleading));
        Assert.Equal(World.Relations.Select(r => r.Name), conflict.Prompts.Keys);
    }

    [Theory]
    [InlineData("independent")]
    [InlineData("misconception")]
    [InlineData("mixed")]
    [InlineData("conflict")]
    public void Nobody_is_in_two_sets_and_another_seed_draws_others(string scenario)
    {
        QuestionSets sets = Sets(scenario);
        HashSet<string> People(IEnumerable<Question> questions) =>
            [.. questions.Select(q => _world.People.Single(p => q.Prompt.Contains(p, StringComparison.Ordinal)))];
        HashSet<string>[] groups =
            [People(sets.Train), People(sets.Trusted), People(sets.HeldOut), People(sets.Prompts.Values.SelectMany(q => q))];
        Assert.Equal(groups.Sum(g => g.Count), groups.SelectMany(g => g).Distinct().Count());
        Assert.All([groups[0], groups[2]], g => Assert.NotEmpty(g));
        Assert.NotEqual(sets.Train, QuestionSets.Of(scenario, _world, _settings, seed: 2).Train);
        Assert.Equal(sets.Train, Sets(scenario).Train);
    }

    private QuestionSets Sets(string scenario) => QuestionSets.Of(scenario, _world, _settings, seed: 1);

    private static string Person(Question question) => question.Prompt["Which town is ".Length..^" from?".Length];
}
