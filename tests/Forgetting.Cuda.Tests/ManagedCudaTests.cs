using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using Xunit;

namespace Forgetting.Cuda.Tests;

/// <summary>
/// The stand-in for ManagedCuda (tests/ManagedCuda.StandIn) against ManagedCuda's own assemblies, where MANAGEDCUDA names their folder.
/// </summary>
public sealed class ManagedCudaTests
{
    [ManagedCudaFact]
    public void ManagedCuda_declares_everything_that_the_stand_in_declares()
    {
        Dictionary<string, Type> declared = TypesOf(Directory.GetFiles(ManagedCudaFactAttribute.Folder!, "*.dll"));
        Dictionary<string, Type> used = TypesOf([Path.Combine(AppContext.BaseDirectory, "ManagedCuda.StandIn.dll")]);
        Assert.True(used.Count > 30, $"{used.Count} types in the stand-in");
        string[] missing = [.. used.Keys.Except(declared.Keys), .. used.Where(type => declared.ContainsKey(type.Key)).SelectMany(
            type => LinesOf(type.Value).Except(LinesOf(declared[type.Key])).Select(member => $"{type.Key}: {member}"))];
        Assert.True(missing.Length == 0, string.Join('\n', missing));
    }

    private static Dictionary<string, Type> TypesOf(IEnumerable<string> assemblies)
    {
        var context = new AssemblyLoadContext(null, isCollectible: true);
        Assembly[] loaded = [.. assemblies.Select(path => context.LoadFromAssemblyPath(Path.GetFullPath(path)))];
        return loaded.SelectMany(assembly => assembly.GetExportedTypes()).ToDictionary(type => type.FullName!);
    }

    // What callers of a type see, a line each.
    private static IEnumerable<string> LinesOf(Type type)
    {
        yield return type.IsEnum ? $"enum of {Enum.GetUnderlyingType(type)}" : type.IsValueType ? "struct" : $"class of {type.BaseType}";
        if (type.IsValueType && !type.IsEnum && !type.IsGenericType)
            yield return $"{Marshal.SizeOf(type)} bytes";

        foreach (Type parameter in type.GetGenericArguments())
            yield return $"{parameter}: {parameter.GenericParameterAttributes}";

        if (!type.IsEnum)
        {
            foreach (Type contract in type.GetInterfaces())
                yield return $"implements {contract}";
        }

        const BindingFlags Own = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static;
        foreach (FieldInfo field in type.GetFields(Own))
            yield return field.IsLiteral ? $"{field.Name} = {field.GetRawConstantValue()}" : $"{field.FieldType} {field.Name}";

        foreach (MethodBase method in type.GetMembers(Own).OfType<MethodBase>())
        {
            if (method.DeclaringType!.Assembly != type.Assembly)
                continue;

            string result = method is MethodInfo { ReturnType: var returned } ? $"{returned} " : "";
            string parameters = string.Join(", ", method.GetParameters().Select(parameter => parameter.ParameterType));
            string entry = method.GetCustomAttribute<DllImportAttribute>() is { } native ? $" of {native.Value}: {native.EntryPoint}" : "";
            yield return $"{(method.IsStatic ? "static " : "")}{result}{method.Name}({parameters}){entry}";
        }
    }
}

/// <summary>A test that needs ManagedCuda's assemblies, in the folder that MANAGEDCUDA names.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class ManagedCudaFactAttribute : FactAttribute
{
    /// <summary>Skips the test where the variable is not set.</summary>
    public ManagedCudaFactAttribute() => Skip = Folder is null ? "MANAGEDCUDA names no folder with ManagedCuda's assemblies" : Skip;

    /// <summary>The folder, or null.</summary>
    public static string? Folder => Environment.GetEnvironmentVariable("MANAGEDCUDA") is { Length: > 0 } folder ? folder : null;
}
