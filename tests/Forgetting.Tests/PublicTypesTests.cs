using Forgetting.Core;
using Forgetting.Tensors;
using Xunit;

namespace Forgetting.Tests;

/// <summary>What a user of the library sees is the facade and what its signatures name.</summary>
public sealed class PublicTypesTests
{
    // Values that theories and benchmarks, which must be public, take as they are.
    private static readonly Type[] s_others = [typeof(UserException), typeof(DType)];

    [Fact]
    public void Every_public_type_is_named_by_the_facade()
    {
        HashSet<Type> reached = [];
        Queue<Type> waiting = new([typeof(LanguageModel), .. s_others]);
        while (waiting.TryDequeue(out Type? type))
        {
            foreach (Type part in Parts(type).Where(t => t.Assembly == typeof(LanguageModel).Assembly && reached.Add(t)))
            {
                Named(part).ToList().ForEach(waiting.Enqueue);
            }
        }

        Type[] exported = typeof(LanguageModel).Assembly.GetExportedTypes();
        Assert.Empty(exported.Where(t => !t.IsNested && !reached.Contains(t)).Select(t => t.FullName));
        Assert.InRange(exported.Length, 30, 60);
    }

    private static IEnumerable<Type> Named(Type type) =>
    [
        .. type.GetProperties().Select(p => p.PropertyType),
        .. type.GetMethods().SelectMany(m => m.GetParameters().Select(p => p.ParameterType).Append(m.ReturnType)),
        .. type.GetConstructors().SelectMany(c => c.GetParameters().Select(p => p.ParameterType)),
    ];

    private static IEnumerable<Type> Parts(Type type) =>
        type.HasElementType ? Parts(type.GetElementType()!)
        : type.IsGenericType ? [type.GetGenericTypeDefinition(), .. type.GetGenericArguments().SelectMany(Parts)]
        : [type];
}
