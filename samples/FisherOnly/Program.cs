// Which weights a data set depends on: dotnet run --project samples/FisherOnly -- MODEL DATA.jsonl OUT.safetensors
using Forgetting;
using Forgetting.Core;

if (args is not [var path, var data, var output])
{
    Console.Error.WriteLine("usage: FisherOnly MODEL DATA.jsonl OUT.safetensors");
    return 2;
}

try
{
    using LanguageModel model = LanguageModel.Load(path);
    IReadOnlyList<TensorInformation> tensors = model.FisherInformation(data, output);
    double all = tensors.Sum(tensor => tensor.Sum);
    foreach (TensorInformation tensor in tensors.Take(10))
    {
        Console.WriteLine($"{tensor.Sum / all,6:P1} in the {tensor.Count,8:N0} weights of {tensor.Name}");
    }

    return 0;
}
catch (UserException error)
{
    Console.Error.WriteLine(error.Message);
    return 2;
}
