using System.Globalization;
using System.Text.RegularExpressions;
using Forgetting.Backends.Cuda;
using Forgetting.Backends.Selection;
using Forgetting.Operations;
using Forgetting.Tensors;
using Forgetting.Testing;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>The kernels on tensor cores with one instruction changed: the interpreter or the comparison of results must notice.</summary>
[Collection("emulation")]
public sealed partial class PtxMutationTests
{
    private static readonly (string Kernel, string Operation)[] s_kernels =
    [
        ("attention_32_bf16", "Attention"), ("attention_64_bf16", "Attention"), ("attention_128_bf16", "Attention"),
        ("attention_queries_32_bf16", "AttentionBackward"), ("attention_queries_64_bf16", "AttentionBackward"),
        ("attention_queries_128_bf16", "AttentionBackward"),
        ("attention_keys_32_bf16", "AttentionBackward"), ("attention_keys_64_bf16", "AttentionBackward"),
        ("attention_keys_128_bf16", "AttentionBackward"), ("fisher_square_bf16", "SquareAccumulateMatrix"),
        ("fisher_project_bf16", "ProjectMatrix"), ("lora_down_bf16", "LoraDown"), ("lora_down_gradient_bf16", "LoraDownGradient"),
        ("lora_down_input_bf16", "LoraDownInput"),
    ];

    public static TheoryData<string, string> Mutants
    {
        get
        {
            var mutants = new TheoryData<string, string>();
            foreach ((string kernel, string operation) in s_kernels)
                mutants.Add(kernel, operation);

            return mutants;
        }
    }

    [PtxTheory]
    [MemberData(nameof(Mutants))]
    public void Swapped_registers_of_a_product_are_noticed(string kernel, string operation) =>
        Check(kernel, operation, Product(), match => Swapped(match, 2));

    [PtxTheory]
    [MemberData(nameof(Mutants))]
    public void Swapped_registers_of_a_products_second_operand_are_noticed(string kernel, string operation) =>
        Check(kernel, operation, Product(), match => Swapped(match, 4));

    [PtxTheory]
    [MemberData(nameof(Mutants))]
    public void A_wait_for_one_group_of_copies_less_is_noticed(string kernel, string operation) => Check(
        kernel, operation, Wait(), match => $"{match.Groups[1].Value}{int.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture) + 1};",
        all: true);

    [PtxTheory]
    [MemberData(nameof(Mutants))]
    public void A_matrix_that_is_not_transposed_is_noticed(string kernel, string operation) =>
        Check(kernel, operation, Transposed(), match => match.Value.Replace(".trans", "", StringComparison.Ordinal));

    [PtxTheory]
    [MemberData(nameof(Mutants))]
    public void A_missing_barrier_is_noticed(string kernel, string operation)
    {
        // The barrier before a sum over the block keeps the sum before apart from it: the first one has none before it.
        int harmless = kernel == "fisher_project_bf16" ? 1 : 0;
        Check(kernel, operation, Barrier(), _ => "", all: true, harmless);
    }

    // Of all places in the kernel that match, or of the first and the last, each is changed by itself.
    private static void Check(
        string kernel, string operation, Regex pattern, Func<Match, string> change, bool all = false, int harmless = 0)
    {
        string text = File.ReadAllText(Emulation.Ptx);
        int begin = text.IndexOf($".entry {kernel}(", StringComparison.Ordinal), end = text.IndexOf("\n}", begin, StringComparison.Ordinal);
        List<Match> places = [.. pattern.Matches(text[begin..end]).Cast<Match>()];
        if (!all && places.Count > 2)
            places = places.Where((_, i) => i == 0 || i == places.Count - 1).ToList();

        List<string> survivors = [];
        foreach (Match place in places)
        {
            int from = begin + place.Index;
            string mutant = $"{text[..from]}{change(place)}{text[(from + place.Length)..]}";
            if (!IsNoticed(mutant, operation))
                survivors.Add($"line {text[..from].Count(letter => letter == '\n') + 1}: {place.Value}");
        }

        Assert.True(survivors.Count == harmless, string.Join(", ", survivors));
    }

    private static bool IsNoticed(string text, string operation)
    {
        using var folder = new TemporaryFolder();
        CudaLibrary.UseEmulation(Emulation.Driver);
        CudaEmulation.SetThreadOrder("forward");
        using var survey = CardSurvey.OfInterpreter(DType.BFloat16, folder.Write("mutant.ptx", text));
        using CudaBackend backend = survey.Take();
        foreach (OperationCase operationCase in OperationCases.All.Where(each => each.Operation == operation && !each.Large))
        {
            try
            {
                OperationRunner.Check(backend, operationCase);
            }
            catch (Exception error) when (error is CudaException or OperationFaultException)
            {
                return true;
            }
        }

        return false;
    }

    // Exchanges the first two registers of an operand: group 2 is the first operand's list, 4 the second's.
    private static string Swapped(Match product, int operand)
    {
        string[] registers = product.Groups[operand].Value.Split(", ");
        (registers[0], registers[1]) = (registers[1], registers[0]);
        return string.Concat(
            Enumerable.Range(1, 5).Select(group => group == operand ? string.Join(", ", registers) : product.Groups[group].Value));
    }

    [GeneratedRegex(@"(mma\.sync\S*\s+\{[^}]*\}, \{)([^}]*)(\}, \{)([^}]*)(\}[^;]*;)")]
    private static partial Regex Product();

    [GeneratedRegex(@"(cp\.async\.wait_group )(\d+);")]
    private static partial Regex Wait();

    [GeneratedRegex(@"ldmatrix\S*\.trans\.\S*")]
    private static partial Regex Transposed();

    [GeneratedRegex(@"bar\.sync\s+0;")]
    private static partial Regex Barrier();
}
