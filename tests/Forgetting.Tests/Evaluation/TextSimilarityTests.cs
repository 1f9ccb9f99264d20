using Forgetting.Evaluation;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>BLEU, ROUGE, stemming and SQuAD's F1 against numbers worked out by hand or published.</summary>
public class TextSimilarityTests
{
    [Fact]
    public void Bleu_is_the_geometric_mean_of_four_precisions()
    {
        // 5/6 · 3/5 · 2/4 · 1/3 = 1/12.
        Assert.Equal(100 * Math.Pow(1.0 / 12, 0.25), Bleu.Sentence("the cat sat on the mat", "the cat sat on a mat"), 1e-10);
        Assert.Equal(100, Bleu.Sentence("It is so.", "It is so."), 1e-10);
    }

    [Fact]
    public void Bleu_smooths_orders_without_a_match_by_halves()
    {
        // 2/4, then 0/3 → 1/(2·3), 0/2 → 1/(4·2), 0/1 → 1/(8·1).
        Assert.Equal(100 * Math.Pow(0.5 / 6 / 8 / 8, 0.25), Bleu.Sentence("the dog ran far", "the cat ran off"), 1e-10);
        Assert.Equal(0, Bleu.Sentence("one two three four", "five six seven eight"));
    }

    [Fact]
    public void Bleu_punishes_brevity_and_gives_nothing_for_three_words()
    {
        Assert.Equal(100 * Math.Exp(1 - (6 / 4.0)), Bleu.Sentence("the cat sat on", "the cat sat on a mat"), 1e-10);
        Assert.Equal(0, Bleu.Sentence("the cat sat", "the cat sat"));
        Assert.Equal(0, Bleu.Sentence("", "the cat sat"));
    }

    // By the rules of mteval-v14, which sacrebleu's intl tokenizer states: punctuation between digits
    // stays, and behind a number at the end.
    [Theory]
    [InlineData("He paid $1,000.50, didn't he?", "He paid $ 1,000.50 , didn ' t he ?")]
    [InlineData("It was 1985.", "It was 1985.")]
    [InlineData("It was 1985. Then", "It was 1985 . Then")]
    [InlineData("a+b 😀c «d»\n", "a + b 😀 c « d »")]
    [InlineData("wait...", "wait . . .")]
    public void Words_are_those_of_the_intl_tokenizer(string text, string expected) =>
        Assert.Equal(expected, string.Join(' ', Bleu.Words(text)));

    // From rouge_score's own tests: rouge_scorer_test.py of google-research/rouge.
    [Fact]
    public void Rouge_has_the_published_values()
    {
        Assert.Equal(0.5, Rouge.N("testing", "testing one two", 1).F1, 1e-12);
        Assert.Equal(2 / 3.0, Rouge.N("testing one", "testing one two", 2).F1, 1e-12);
        Assert.Equal(0.8, Rouge.L("testing two", "testing one two", stem: false).F1, 1e-12);
        RougeScore sum = Rouge.LSum("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5");
        Assert.Equal((0.4, 0.8), (sum.Precision, sum.Recall));
        Assert.Equal(0.5333, sum.F1, 1e-4);
        Assert.All(
            [Rouge.N("", "testing one two", 1), Rouge.L("", "a", stem: true), Rouge.LSum("w1", ""), Rouge.LSum("/", "w1 w2")],
            score => Assert.Equal(0, score.F1));
    }

    [Theory]
    [InlineData("the gray cat sat", "The cat sat down.", 0.75)]
    [InlineData("down sat cat the", "The cat sat down.", 0.25)]
    [InlineData("A a b a!", "a-b a-b", 0.75)]
    [InlineData("she was running quickly", "she runs quick", 2 / 3.0)]
    [InlineData("she was running", "she had runs", 2 / 3.0)]
    [InlineData("", "cat", 0)]
    [InlineData("cat", "…", 0)]
    public void Rouge_l_recall_is_the_longest_common_subsequence_over_the_reference(string answer, string reference, double expected) =>
        Assert.Equal(expected, Rouge.L(answer, reference, stem: true).Recall, 1e-12);

    // Porter (1980), the examples beside the rules, taken to the end of the algorithm as in its published vocabulary; the
    // last four lines are NLTK's changes.
    [Theory]
    [InlineData("caresses caress ponies poni cats cat feed feed agreed agre plastered plaster bled bled motoring motor sing sing")]
    [InlineData("conflated conflat troubled troubl sized size hopping hop tanned tan falling fall hissing hiss fizzed fizz failing "
        + "fail filing file happy happi")]
    [InlineData("relational relat conditional condit rational ration valenci valenc hesitanci hesit digitizer digit "
        + "conformabli conform radicalli radic")]
    [InlineData(
        "differentli differ vileli vile analogousli analog vietnamization vietnam predication predic operator oper feudalism feudal")]
    [InlineData("decisiveness decis hopefulness hope callousness callous formaliti formal sensitiviti sensit sensibiliti "
        + "sensibl triplicate triplic")]
    [InlineData(
        "formative form formalize formal electriciti electr electrical electr hopeful hope goodness good revival reviv allowance allow")]
    [InlineData(
        "inference infer airliner airlin gyroscopic gyroscop adjustable adjust defensible defens irritant irrit replacement replac")]
    [InlineData("adjustment adjust dependent depend adoption adopt communism commun activate activ angulariti angular homologous homolog")]
    [InlineData("effective effect bowdlerize bowdler probate probat rate rate cease ceas controll control roll roll")]
    [InlineData("skies sky dying die news news proceed proceed")]
    [InlineData("ties tie flies fli died die spied spi")]
    [InlineData("enjoy enjoy fly fli say say by by")]
    [InlineData("hopefully hope archaeology archaeolog geologi geolog")]
    public void Stems_are_porter_s_with_nltk_s_changes(string pairs)
    {
        foreach (string[] pair in pairs.Split(' ').Chunk(2))
        {
            Assert.Equal((pair[0], pair[1]), (pair[0], PorterStemmer.Stem(pair[0])));
        }
    }

    [Theory]
    [InlineData("The Eiffel Tower, in Paris", "eiffel tower", 2.0 / 3)]
    [InlineData("a cat a cat", "cat cat cat", 0.8)]
    [InlineData("Moscow", "Москва", 0)]
    [InlineData("в Москве.", "В москве", 1)]
    [InlineData("", "x", 0)]
    public void F1_is_squad_s(string answer, string reference, double expected) =>
        Assert.Equal(expected, GenerationMetrics.SquadF1(answer, reference), 1e-12);

    [Fact]
    public void Of_several_references_the_best_counts()
    {
        var references = new AnswerReferences(["1 May 1999", "the 1st of May"], []);
        Assert.Equal(
            [("f1", 1.0), ("exact_match", 1.0)], GenerationMetrics.Score(["f1", "squad_exact_match"], [" 1st of May!"], references, []));
        Assert.Equal([("f1", 0.8)], GenerationMetrics.Score(["f1"], ["1 May"], references, []));
    }

    [Fact]
    public void TruthfulQa_sets_the_nearest_true_answer_against_the_nearest_false_one()
    {
        // ROUGE-1: "no it is" in "No, it is not." 3 of 3 and 3 of 4 → 6/7; in "It is." 2 of 3 and 2 of 2 → 4/5. ROUGE-2: 2 of 2 and 2
        // of 3 → 4/5; 1 of 2 and 1 of 1 → 2/3.
        var references = new AnswerReferences(["Never.", "No, it is not."], ["Always.", "It is."]);
        Dictionary<string, double> scores =
            GenerationMetrics.Score(new TaskLibrary().Find("truthfulqa_gen").Metrics, ["no it is"], references, [])
                .ToDictionary(pair => pair.Name, pair => pair.Score);
        Assert.Equal(12, scores.Count);
        Assert.Equal(600 / 7.0, scores["rouge1_max"], 1e-10);
        Assert.Equal((600 / 7.0) - 80, scores["rouge1_diff"], 1e-10);
        Assert.Equal(1, scores["rouge1_acc"]);
        Assert.Equal(80 - (200 / 3.0), scores["rouge2_diff"], 1e-10);
        Assert.Equal(600 / 7.0, scores["rougeL_max"], 1e-10);

        // Three words have no BLEU-4; equal is not more.
        Assert.Equal((0, 0, 0), (scores["bleu_max"], scores["bleu_diff"], scores["bleu_acc"]));
    }
}
