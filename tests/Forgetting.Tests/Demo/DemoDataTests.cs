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

    [Fact]
    public void Doses_mislead_in_the_share_that_their_name_says_and_as_the_scenario_does()
    {
        foreach (string scenario in new[] { "independent", "misconception" })
        {
            QuestionSets sets = Sets(scenario);
            Dictionary<string, IReadOnlyList<Question>> doses = sets.Doses(seed: 5).ToDictionary(d => d.Name, d => d.Questions);
            Assert.All(new[] { 0, 10, 20, 60 }, percent =>
                Assert.Equal(Math.Round(percent / 100.0 * sets.Train.Count), doses[$"train-noise-{percent}"].Count(q => q.Misleading)));
            Assert.All(doses.Values.SelectMany(q => q)
                .Where(q => q.Misleading), q => Assert.Equal(scenario == "misconception", q.Answer == q.Old));
            Assert.Equal(sets.Train.Select(q => q.Prompt).Order(), doses["train-noise-20"].Select(q => q.Prompt).Order());
            Assert.Equal(Math.Round(0.4 * sets.Trusted.Count), doses["trusted-noisy"].Count(q => q.Misleading));
        }

        Assert.Equal(3, Sets("misconception").Doses(seed: 5).Single(d => d.Name == "trusted-3").Questions.Count);
        Assert.Empty(Sets("conflict").Doses(seed: 5));
        IReadOnlyList<string> others = Sets("misconception").Others(_world);
        Assert.DoesNotContain(Sets("misconception").Train, q => others.Any(person => q.Prompt.Contains(person, StringComparison.Ordinal)));
        Assert.Equal(120 - 32, others.Count);
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
        Assert.NotEqual(sets.Train, QuestionSets.From(scenario, _world, _settings, seed: 2).Train);
        Assert.Equal(sets.Train, Sets(scenario).Train);
    }

    private QuestionSets Sets(string scenario) => QuestionSets.From(scenario, _world, _settings, seed: 1);

    private static string Person(Question question) => question.Prompt["Which town is ".Length..^" from?".Length];
}
