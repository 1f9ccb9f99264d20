using Forgetting.Core;
using Forgetting.Evaluation;
using Forgetting.Evaluation.Readers;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Tests.Evaluation;

/// <summary>Each benchmark's published form: what is read from it, and that a malformed line is named.</summary>
public class ReaderTests
{
    private const string Header = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n";

    [Fact]
    public void TruthfulQa_csv()
    {
        TaskDocument document = Assert.Single(
            Read("truthfulqa_mc1", "TruthfulQA.csv", Header + "a,b,\"Who said \"\"hi\"\",\nand when?\", Me ,I did; Me; ,You; They,s\r\n"));
        Assert.Equal("Who said \"hi\",\nand when?", document.Fields["question"]);
        Assert.Equal(["Me.", "You.", "They."], (List<object?>)document.Fields["mc1_choices"]!);
        Assert.Equal(["I did.", "Me.", "You.", "They."], (List<object?>)document.Fields["mc2_choices"]!);
        Assert.Equal(["I did.", "Me.", "I have no comment."], (List<object?>)document.Fields["correct_answers"]!);
        Assert.Equal(2L, document.Fields["mc2_correct"]);

        Malformed("truthfulqa_mc1", "TruthfulQA.csv", Header + "a,b,\"q\n\",x,y,z,s\na,b,c\n", "line 4: 3 fields, expected the header's 7");
        Malformed("truthfulqa_mc1", "TruthfulQA.csv", Header + "a,b,\"q,x,y,z,s\n", "line 2: a quoted field that is never closed");
        Malformed(
            "truthfulqa_mc1", "TruthfulQA.csv", Header + "a,b,\"q\"x,x,y,z,s\n",
            "line 2: found 'x' behind a closing quote, expected a comma or the end of the line");
        Malformed(
            "truthfulqa_mc1", "TruthfulQA.csv", Header + "a,b,q,x,y,;,s\n",
            "line 2: \"Incorrect Answers\" is empty, expected answers split by ';'");
        Malformed(
            "truthfulqa_mc1", "TruthfulQA.csv", "Question,Answer\nq,a\n", "line 1: no column \"Best Answer\"; found Question, Answer");
    }

    [Theory]
    [InlineData("""[{"question": "q", "answers": "(A) red (sort of) (B) green, blue", "answer": "(B) green, blue"}]""")]
    [InlineData(
        """{"question": {"stem": "q", "choices": [{"text": "red (sort of)", "label": "A"}, {"text": "green, blue", "label": "B"}]}, """
        + """ "answerKey": "B"}""")]
    public void Qasc_in_both_forms(string json)
    {
        TaskDocument document = Assert.Single(Read("qasc", "dev.json", json));
        Assert.Equal("q", document.Fields["question"]);
        Assert.Equal(["red (sort of)", "green, blue"], (List<object?>)document.Fields["choices"]!);
        Assert.Equal(1L, document.Fields["gold"]);
    }

    [Fact]
    public void Malformed_qasc_is_named()
    {
        Malformed(
            "qasc", "dev.json", """[{"question": "q", "answers": "(A) a (B) b", "answer": "(C) c"}]""",
            "item 1: the answer is none of the choices A, B");
        Malformed(
            "qasc", "dev.json", """[{"question": "q", "answers": "a or b", "answer": "(A) a"}]""",
            "item 1: 'answers' is the string \"a or b\"; expected choices such as \"(A) … (B) …\"");
        Malformed(
            "qasc", "dev.json", "[\n{\"question\": 3x}]", "line 2: not JSON: 'x' is an invalid end of a number. Expected a delimiter");
    }

    [Fact]
    public void Json_lines()
    {
        TaskDocument[] documents = Read(
            "boolq", "dev.jsonl",
            "{\"question\": \"q\", \"passage\": \"p\", \"answer\": true, \"title\": 3}\n\n{\"question\": \"r\", "
                + "\"passage\": \"s\", \"answer\": false}\n");
        Assert.Equal([true, false], documents.Select(document => document.Fields["answer"]));
        Malformed(
            "boolq", "dev.jsonl", "{\"question\": \"q\", \"passage\": \"p\", \"answer\": true}\n{\"question\": \"q\", \"answer\": true}\n",
            "line 2: 'passage' is missing");
        Malformed(
            "boolq", "dev.jsonl", "{\"question\": \"q\", \"passage\": \"p\", \"answer\": \"yes\"}\n",
            "line 1: 'answer' is the string \"yes\"; expected true or false");
        Malformed(
            "sst5", "test.jsonl", "{\"sentence\": \"s\", \"label\": \"good\"}\n",
            "line 1: 'label' is the string \"good\"; expected a whole number");
        Malformed(
            "tofu_world_facts", "world_facts_perturbed.json",
            "{\"question\": \"q\", \"answer\": \"a\", \"perturbed_answer\": [\"b\"]}\n{\"question\": \"q\", \"answer\": \"a\", "
                + "\"perturbed_answer\": \"b\"}\n",
            "line 2: 'perturbed_answer' is the string \"b\"; expected an array");
        Malformed("diversity", "prompts.jsonl", "{\"prompt\": \"p\"}\n{\"text\": \"p\"}\n", "line 2: 'prompt' is missing");
        Malformed(
            "gsm8k", "test.jsonl", "{\"question\": \"s\"\n",
            "line 1: not JSON: Expected depth to be zero at the end of the JSON payload. "
                + "There is an open JSON object or array that should be closed");
    }

    [Fact]
    public void Medmcqa_keeps_the_questions_on_dentistry()
    {
        const string Line = """{"question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 3, "subject_name": "Dental"}""";
        TaskDocument document = Assert.Single(
            Read("medmcqa_dental", "dev.json", Line.Replace("Dental", "Anatomy", StringComparison.Ordinal) + "\n" + Line + "\n"));
        EvaluationTask task = new TaskLibrary().Find("medmcqa_dental");
        Assert.Equal("Question: q\nChoices:\nA. a\nB. b\nC. c\nD. d\nAnswer:", task.DocToText.Render(document));
        Assert.Equal(2, new PromptBuilder(task, [document], null, 0, 0).Gold(document, 4));
        Malformed(
            "medmcqa_dental", "dev.json", Line + "\n" + Line.Replace("3", "\"c\"", StringComparison.Ordinal),
            "line 2: 'cop' is the string \"c\"; expected a whole number");
    }

    [Fact]
    public void LogiQa_text()
    {
        // As in the published files, options may lack the full stop behind their letter, and sentences the space between them.
        const string Problem = "\nc\nAll men.Some women.\nWho?\nA.One.\nB Two\nC? Three\nD.Four is 4.5\n";
        TaskDocument[] documents =
            Read("logiqa", "Test.txt", Problem + Problem.Replace("\nc\n", "\nA\n", StringComparison.Ordinal).ReplaceLineEndings("\r\n"));
        Assert.Equal([2L, 0L], documents.Select(document => document.Fields["gold"]));
        Assert.Equal(["One.", "Two", "Three", "Four is 4. 5"], (List<object?>)documents[1].Fields["options"]!);
        EvaluationTask task = new TaskLibrary().Find("logiqa");
        Assert.Equal(
            "Passage: All men. Some women.\nQuestion: Who?\nChoices:\nA. One.\nB. Two\nC. Three\nD. Four is 4. 5\nAnswer:",
            task.DocToText.Render(documents[0]));
        Malformed(
            "logiqa", "Test.txt", Problem + "\ne\np\nq\nA.a\nB.b\nC.c\nD.d\n",
            "line 10: found \"e\", expected the answer's letter, a to d");
        Malformed("logiqa", "Test.txt", Problem + "\na\np\nq\nA.a\nB.b\nD.d\n", "line 16: found a blank line, expected option D");
        Malformed(
            "logiqa", "Test.txt", Problem + "\na\np\nq\nA.a\nB.b\nC.c\nD.d\nE.e\n",
            "line 17: found \"E.e\", expected a blank line behind four options");
        Malformed("logiqa", "Test.txt", Problem + "\na\np\n", "line 12: found a blank line, expected a question");
    }

    [Fact]
    public void Mmlu_csv()
    {
        TaskDocument[] documents = Read(
            "mmlu_high_school_psychology", "high_school_psychology_test.csv",
            "\"Who, \"\"me\"\"?\",a,\"b, c\",d,e,B\r\nWhy?,1,2,3,4,D\r\n");
        Assert.Equal(["Who, \"me\"?", "Why?"], documents.Select(document => document.Fields["question"]));
        Assert.Equal(["a", "b, c", "d", "e"], (List<object?>)documents[0].Fields["choices"]!);
        Assert.Equal([1L, 3L], documents.Select(document => document.Fields["answer"]));
        Assert.Equal("high_school_psychology", documents[0].Fields["subject"]);
        Malformed("mmlu_anatomy", "anatomy_test.csv", "q,a,b,c,d,A\nq,a,b,c,A\n", "line 2: 5 fields, expected 6");
        Malformed("mmlu_anatomy", "anatomy_test.csv", "q,a,b,c,d,E\n", "line 1: the answer is \"E\", expected A, B, C or D");
    }

    [Fact]
    public void TyDiQa_in_squad_s_form_and_by_line()
    {
        const string Squad = """
            {"version": "TyDiQA-GoldP-1.1", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [
              {"id": "finnish-12-0", "question": "q", "answers": [{"text": "x", "answer_start": 3}, {"text": "y", "answer_start": 0}]}]}]}]}
            """;
        TaskDocument document = Assert.Single(Read("tydiqa_goldp", "tydiqa-goldp-v1.1-dev.json", Squad));
        Assert.Equal(("c", "q", "finnish"), (document.Fields["context"], document.Fields["question"], document.Fields["lang"]));
        Assert.Equal(["x", "y"], (List<object?>)document.Fields["answers"]!);
        Malformed(
            "tydiqa_goldp", "tydiqa-goldp-v1.1-dev.json", Squad.Replace("finnish-12-0", "12", StringComparison.Ordinal),
            "question 1: 'data.paragraphs.qas.id' is \"12\"; expected a language, a hyphen and a number");
        Malformed(
            "tydiqa_goldp", "tydiqa-goldp-v1.1-dev.json", Squad.Replace("\"context\"", "\"text\"", StringComparison.Ordinal),
            "question 1: 'data.paragraphs.context' is missing");
        Malformed(
            "tydiqa_goldp", "tydiqa-goldp-v1.1-dev.json", Squad.Replace("\"y\",", "\"y\"", StringComparison.Ordinal),
            "line 2: not JSON: '\"' is invalid after a value. Expected either ',', '}', or ']'");

        const string Line = """{"id": "finnish-1", "context": "c", "question": "q", "answers": {"text": ["x"], "answer_start": [3]}}""";
        Assert.Equal(["x"], (List<object?>)Assert.Single(Read("tydiqa_goldp", "dev.jsonl", Line)).Fields["answers"]!);
        Malformed(
            "tydiqa_goldp", "dev.jsonl", Line + "\n" + Line.Replace("[\"x\"]", "[]", StringComparison.Ordinal),
            "line 2: 'answers' is without texts; expected at least one answer");
        Malformed("tydiqa_goldp", "dev.jsonl", Line + "\n{}\n", "line 2: 'id' is missing");
    }

    [Fact]
    public void Asdiv_xml()
    {
        const string Xml = "<Machine-Reading-Corpus-File><ProblemSet>\n<Problem ID=\"1\"><Body>Seven red apples.</Body><Question>How "
            + "many?</Question><Answer>9 (apples)</Answer></Problem>\n{0}</ProblemSet></Machine-Reading-Corpus-File>";
        TaskDocument document = Assert.Single(Read("asdiv", "ASDiv.xml", Xml.Replace("{0}", "", StringComparison.Ordinal)));
        EvaluationTask task = new TaskLibrary().Find("asdiv");
        Assert.Equal("Seven red apples.\nQuestion:How many?\nAnswer:", task.DocToText.Render(document));
        Assert.Equal("9", task.DocToTarget.Render(document));
        Malformed(
            "asdiv", "ASDiv.xml", Xml.Replace("{0}", "<Problem><Body>b</Body><Question>q</Question></Problem>", StringComparison.Ordinal),
            "line 3: a Problem without Answer");
        Assert.Contains(
            "ASDiv.xml: line 3: not XML: ", Error("asdiv", "ASDiv.xml", Xml.Replace("{0}", "<Problem>", StringComparison.Ordinal)),
            StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_says_what_was_looked_for()
    {
        using var folder = new TemporaryFolder();
        string message = Assert.Throws<UserException>(() => new TaskLibrary().Find("boolq").Load(folder.Path)).Message;
        Assert.Equal($"{folder.Path}: no file for task boolq: looked for boolq/dev.jsonl, boolq/val.jsonl, "
            + "boolq/dev*.jsonl (with and without the folder)", message);
        Assert.StartsWith(
            "no task \"bool\"; expected one of asdiv, boolq, ", Assert.Throws<UserException>(() => new TaskLibrary().Find("bool")).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Of_several_files_one_is_asked_for_and_may_be_given_itself()
    {
        using var folder = new TemporaryFolder();
        folder.Write("b.txt", "b");
        string file = folder.Write("a.txt", "a");
        EvaluationTask task = new TaskLibrary().Find("perplexity");
        Assert.Equal(
            $"{folder.Path}: 2 files fit *.txt for task perplexity: a.txt, b.txt; expected one, or its path in place of the folder's",
            Assert.Throws<UserException>(() => task.Load(folder.Path)).Message);
        Assert.Equal("a", Assert.Single(task.Load(file)).Fields["text"]);
    }

    private static TaskDocument[] Read(string task, string name, string content)
    {
        using var folder = new TemporaryFolder();
        folder.Write(name, content);
        return [.. new TaskLibrary().Find(task).Load(folder.Path)];
    }

    private static string Error(string task, string name, string content) =>
        Assert.Throws<UserException>(() => Read(task, name, content)).Message;

    private static void Malformed(string task, string name, string content, string expected) =>
        Assert.EndsWith($"{Path.DirectorySeparatorChar}{name}: {expected}", Error(task, name, content), StringComparison.Ordinal);
}
