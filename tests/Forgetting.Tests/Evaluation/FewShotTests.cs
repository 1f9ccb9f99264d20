using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Evaluation.Readers;
using Forgetting.Testing;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Which examples stand before a question.</summary>
public class FewShotTests
{
    // Printed by Python 3.11: r = random.Random(seed); [r.sample(range(n), k) for _ in range(times)].
    [Theory]
    [InlineData(1234, 7473, 5, "6374 3610 957 61 742 7462 6610 4769 286 5501 5677 687 806 6279 2905")]
    [InlineData(1234, 30, 6, "24 14 3 0 2 18 1 21 22 2 3 24")]
    [InlineData(1234, 817, 3, "796 451 119 7 92 596 35 687 709")]
    [InlineData((1UL << 40) + 7, 1000, 3, "628 765 834 960 967 654")]
    [InlineData(0, 10, 10, "6 9 0 2 4 3 5 1 8 7")]
    public void Draws_are_python_s(ulong seed, int population, int count, string expected)
    {
        var random = new PythonRandom(seed);
        int[] wanted = [.. expected.Split(' ').Select(int.Parse)];
        Assert.Equal(wanted, Enumerable.Range(0, wanted.Length / count).SelectMany(_ => random.Sample(population, count)));
    }

    [Fact]
    public void An_item_is_drawn_past_where_it_is_among_those_that_examples_come_from()
    {
        // Python: random.Random(1234).sample(range(5), 3) for items 0 to 4; the item left out, two taken.
        int[][] drawn = [[3, 0, 4], [0, 4, 2], [0, 4, 1], [1, 0, 3], [0, 2, 3]];
        TaskDocument[] documents = [.. Enumerable.Range(0, 5).Select(i => new TaskDocument($"{i}", new TemplateMap { ["q"] = $"{i}" }))];
        var sampler = new FewShotSampler(new TaskLibrary().Find("truthfulqa_mc1"), documents, null, 2, 1234);
        for (int item = 4; item >= 0; item--)
        {
            Assert.Equal(drawn[item].Where(i => i != item).Take(2).Select(i => documents[i]), sampler.Examples(item));
        }
    }

    // The prompt of GSM8K's first question with five examples is printed in many public repositories that took it from
    // lm-evaluation-harness' logs, such as OpenCompass.
    [SharedDataFact]
    public void Gsm8k_s_first_prompt_is_the_harness_s()
    {
        EvaluationTask task = new TaskLibrary().Find("gsm8k");
        var prompts = new PromptBuilder(
            task, task.Load(SharedData.Folder!), task.LoadFewShot(SharedData.Folder!), task.Shots,
            new EvaluationOptions { DataFolder = "" }.Seed);
        string prompt = prompts.Prompt(0);
        Assert.StartsWith(
            "Question: Jen and Tyler are gymnasts practicing flips. Jen is practicing the triple-flip", prompt, StringComparison.Ordinal);
        Assert.Contains(
            "Tyler did half the number of flips, so he did 48 / 2 = <<48/2=24>>24 flips.\nA double flip has two flips, "
                + "so Tyler did 24 / 2 = <<24/2=12>>12 double-flips.\n#### 12\n\n"
            + "Question: Four people in a law firm are planning a party. Mary will buy a platter of pasta for $20 "
            + "and a loaf of bread for $2.",
            prompt, StringComparison.Ordinal);
        Assert.EndsWith("How much in dollars does she make every day at the farmers' market?\nAnswer:", prompt, StringComparison.Ordinal);
        Assert.Equal(6, prompt.Split("Question: ").Length - 1);
    }

    [Fact]
    public void Mmlu_takes_the_first_examples_of_its_subject_behind_a_description()
    {
        using var folder = new TemporaryFolder();
        foreach (string subject in new[] { "high_school_psychology", "professional_psychology" })
        {
            folder.Write($"mmlu/test/{subject}_test.csv", $"\"Which, {subject}?\",1,2,3,4,C\nOther?,a,b,c,d,A\n");
            folder.Write(
                $"mmlu/dev/{subject}_dev.csv", string.Concat(Enumerable.Range(0, 5).Select(i => $" Dev {subject} {i} ,w,x,y,z,B\n")));
        }

        var library = new TaskLibrary();
        const string Expected = "The following are multiple choice questions (with answers) about high school psychology.\n\n"
            + "Dev high_school_psychology 0\nA. w\nB. x\nC. y\nD. z\nAnswer: B\n\nDev high_school_psychology 1\nA. w\nB. "
            + "x\nC. y\nD. z\nAnswer: B\n\n"
            + "Which, high_school_psychology?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:";
        foreach ((string name, int items) in new[] { ("mmlu_high_school_psychology", 2), ("mmlu_psychology", 4) })
        {
            EvaluationTask task = library.Find(name);
            IReadOnlyList<TaskDocument> documents = task.Load(folder.Path);
            Assert.Equal(items, documents.Count);
            var prompts = new PromptBuilder(task, documents, task.LoadFewShot(folder.Path), 2, 1234);
            Assert.Equal(Expected, prompts.Prompt(0));
            Assert.Equal(2, prompts.Gold(documents[0], 4));
            Assert.Equal(["A", "B", "C", "D"], prompts.Choices(documents[0]));
        }

        Assert.Equal(
            $"{folder.Path}: no file for task mmlu_anatomy: looked for mmlu/test/anatomy_test.csv (with and without the folder)",
            Assert.Throws<UserException>(() => library.Find("mmlu_anatomy").Load(folder.Path)).Message);
        File.Delete(folder["mmlu/test/professional_psychology_test.csv"]);
        Assert.Equal(
            $"{folder.Path}: no file for task mmlu_psychology: looked for mmlu/test/professional_psychology_test.csv "
                + "(with and without the folder)",
            Assert.Throws<UserException>(() => library.Find("mmlu_psychology").Load(folder.Path)).Message);
        Assert.StartsWith(
            "no task \"mmlu_*\"; expected one of asdiv, boolq, ", Assert.Throws<UserException>(() => library.Find("mmlu_*")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void TyDiQa_has_one_example_of_the_question_s_language()
    {
        using var folder = new TemporaryFolder();
        string Question(string id, string text, string answer) =>
            $$"""{"id": "{{id}}", "context": "c {{text}}", "question": "q {{text}}", "answers": [{"text": "{{answer}}"}, {"text": "b"}] }"""
            + "\n";
        folder.Write(
            "tydiqa/dev.jsonl", Question("russian-1", "r", "x") + Question("english-1", "e", "y") + Question("english-2", "f", "z"));
        folder.Write("tydiqa/train.jsonl", Question("russian-9", "R", "X") + Question("english-9", "E", "Y"));
        EvaluationTask task = new TaskLibrary().Find("tydiqa_goldp");
        var prompts = new PromptBuilder(task, task.Load(folder.Path), task.LoadFewShot(folder.Path), task.Shots, 1234);
        Assert.Equal(
            "Ответьте на следующий вопрос на основе информации в данном отрывке.\n\nОтрывок: c R\nВопрос: q R\nОтвет: "
                + "X\n\nОтрывок: c r\nВопрос: q r\nОтвет:",
            prompts.Prompt(0));
        Assert.Equal(
            "Answer the following question based on the information in the given passage.\n\nPassage: c E\nQuestion: q E\nAnswer: "
                + "Y\n\nPassage: c f\nQuestion: q f\nAnswer:",
            prompts.Prompt(2));
        Assert.Equal(["x", "b"], prompts.References(task.Load(folder.Path)[0]).True);

        folder.Write("tydiqa/train.jsonl", Question("english-9", "E", "Y"));
        Assert.Equal(
            "task tydiqa_goldp: 1 examples with lang russian wanted, and there are 0 to draw from",
            Assert.Throws<UserException>(() => new PromptBuilder(task, task.Load(folder.Path), task.LoadFewShot(folder.Path), 1, 1234)
                .Prompt(1)).Message);
        Assert.StartsWith(
            "task tydiqa_goldp: its examples need a file of their own",
            Assert.Throws<UserException>(
                () => new PromptBuilder(task, task.Load(folder["tydiqa/dev.jsonl"]), task.LoadFewShot(folder["tydiqa/dev.jsonl"]), 1, 1234)
                .Prompt(1)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Means_are_given_by_group_and_over_groups()
    {
        // English 1, 0, 1, 0 with standard error √(1/3/4); Thai 1, 1 with 0: (0.5 + 1)/2 and half the root of 1/12.
        EvaluationTask task = new TaskLibrary().Find("tydiqa_goldp");
        TaskSample[] samples =
            [.. new[] { ("en", 1.0), ("th", 1), ("en", 0), ("en", 1), ("th", 1), ("en", 0) }.Select((pair, i) => new TaskSample(
                i, new TaskDocument("", new TemplateMap { ["lang"] = pair.Item1 }), "", [], [], [("f1", "none", pair.Item2)],
                new Dictionary<string, string>()))];
        MetricValue[] macro = Aggregation.Of(task, samples), micro = Aggregation.Of(task with { MacroAverage = false }, samples);
        Assert.Equal(["f1,none", "f1,en", "f1,th"], macro.Select(value => $"{value.Name},{value.Filter}"));
        Assert.Equal([0.75, 0.5, 1], macro.Select(value => value.Value));
        Assert.Equal(Math.Sqrt(1 / 12.0) / 2, macro[0].StandardError!.Value, 1e-12);
        Assert.Equal(4 / 6.0, micro[0].Value, 1e-12);
    }
}
