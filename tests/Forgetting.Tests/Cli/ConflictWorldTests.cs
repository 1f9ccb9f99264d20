using Forgetting.Cli.Demo.Conflict;
using Xunit;

namespace Forgetting.Tests.Cli;

/// <summary>The world of the demo's second act.</summary>
public class ConflictWorldTests
{
    private readonly ConflictWorld _world = new(people: 40, seed: 3);

    [Fact]
    public void Pretraining_answers_the_target_tasks_question_with_the_other_town_and_tells_both()
    {
        IReadOnlyList<string> documents = _world.PretrainingDocuments(exposures: 20, seed: 4);
        ConflictSets sets = _world.Sets(examples: 10, prompts: 12, seed: 1);
        TargetQuestion[] all = [.. sets.Train, .. sets.HeldOut];
        Assert.All(all, q => Assert.NotEqual(q.Answer, q.OldAnswer));

        // Asked of about half the people, and never with the answer that the target task wants.
        Assert.InRange(all.Count(q => documents.Contains($"{q.Prompt} {q.OldAnswer}")), 5, 23);
        Assert.DoesNotContain(all, q => documents.Contains($"{q.Prompt} {q.Answer}"));
        Assert.All(all, q => Assert.Contains(documents, d => d.Contains($"{Person(q.Prompt)} was born in {q.Answer}.", StringComparison.Ordinal)));
        Assert.All(all, q => Assert.Contains(documents, d => d.Contains($"{Person(q.Prompt)} lives in {q.OldAnswer}.", StringComparison.Ordinal)));
    }

    [Fact]
    public void Nobody_is_in_two_sets()
    {
        ConflictSets sets = _world.Sets(examples: 10, prompts: 12, seed: 1);
        IReadOnlyList<string> prompts = sets.Prompts[ConflictWorld.Conflicting];
        Assert.Equal((10, 12, 18), (sets.Train.Count, prompts.Count, sets.HeldOut.Count));
        Assert.Equal(40, sets.Train.Select(q => q.Prompt).Concat(prompts).Concat(sets.HeldOut.Select(q => q.Prompt)).Distinct().Count());
        Assert.Equal(ConflictWorld.Tasks, sets.Prompts.Keys);
        Assert.All(sets.Prompts.Values, task => Assert.Equal(12, task.Count));

        // The same people's other facts.
        Assert.Equal(3 * 18, sets.HeldOutSource.Count);
        Assert.All(sets.HeldOutSource, q => Assert.Contains(sets.HeldOut, h => q.Prompt.Contains(Person(h.Prompt), StringComparison.Ordinal)));
    }

    private static string Person(string prompt) => prompt["Which town is ".Length..^" from?".Length];
}
