using Forgetting.Tensors;

namespace Forgetting.Models;

/// <summary>RMSNorm of queries or keys [T, H·D], of each head by itself or of all heads of a token together.</summary>
internal sealed class HeadNorm
{
    private readonly NormLayer _norm;
    private readonly int _parts; // rows that a row is cut into
    private readonly int _columns; // of a part

    private Tensor _x; // [T·parts, columns]

    public HeadNorm(ModuleBuilder builder, string path, int heads)
    {
        bool apart = builder.Config.QueryKeyNorm == QueryKeyNorm.Head;
        _parts = apart ? heads : 1;
        _columns = builder.Config.HeadSize * (apart ? 1 : heads);
        _norm = builder.HeadNorm(path, _columns);
    }

    /// <param name="x">[T, H·D], kept for the backward.</param>
    /// <returns>[T, H·D].</returns>
    public Tensor Forward(Pass pass, Tensor x)
    {
        _x = Parts(x);
        Tensor y = pass.Take(x.Columns);
        _norm.Forward(pass, _x, default, Parts(y));
        return y;
    }

    /// <param name="dY">[T, H·D].</param>
    /// <returns>[T, H·D] gradient at x.</returns>
    public Tensor Backward(Pass pass, IGradientSink sink, Tensor dY)
    {
        Tensor dX = pass.Take(dY.Columns);
        _norm.BackwardApart(pass, sink, Parts(dY), _x, Parts(dX), _parts == 1 ? pass.Offsets : pass.HeadOffsets(_parts));
        return dX;
    }

    private Tensor Parts(Tensor rows) => rows.Reshape(new Shape(rows.Rows * _parts, _columns));
}
