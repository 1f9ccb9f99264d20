using Forgetting.Core;
using Forgetting.Methods;
using Forgetting.Runs;
using Forgetting.Training;
using Xunit;

namespace Forgetting.Tests.Runs;

/// <summary>The methods that settings can name.</summary>
public sealed class MethodListTests
{
    [Fact]
    public void Names_of_earlier_versions_stay()
    {
        string[] names = [.. TrainingMethod.All.Select(m => m.Name)];
        Assert.Superset(new HashSet<string>(["full", "ignore", "forget", "lwf", "unlearn"]), new HashSet<string>(names));
        Assert.Distinct(names);
        UserException error = Assert.Throws<UserException>(() => TrainingMethod.Named("sft"));
        Assert.Equal($"method is \"sft\", expected {string.Join(", ", names)}", error.Message);
    }

    [Fact]
    public void Every_setting_is_used_by_some_method() => Assert.All(
        Recipe.Settings,
        setting => Assert.Contains(
            TrainingMethod.All,
            method => setting.WhyUnused(new TrainingOptions { Method = method }) is not { } why
                || !why.StartsWith("method ", StringComparison.Ordinal)));

    [Fact]
    public void What_a_method_leaves_in_a_run_is_known_to_be_its()
    {
        Assert.All(MethodList.All.Where(m => m.Create != null), named =>
        {
            TrainingOptions options = new TrainingOptions { Method = named, ForgetSet = new() { Objective = ForgetObjective.Npo } };
            IMethod method = named.Create!(named.Planned?.Invoke(options) ?? options);
            Assert.Equal(named.Name, method.Name);
            Assert.NotEmpty(method.Stages);
            Assert.All(method.Stages.Concat(method.Stages.SelectMany(s => s.Within)), stage => Assert.Contains(
                Path.Combine(method.Folder, stage.Result).Split(Path.DirectorySeparatorChar)[0], named.Files.Concat(named.Folders)));
        });
    }
}
