using System.Text.Json;
using Forgetting.Serving;

namespace Forgetting.Server;

/// <summary>How one kind of request is read and answered.</summary>
internal interface IAnswerShape
{
    /// <summary>What ids of answers begin with.</summary>
    string IdPrefix { get; }

    /// <summary>What a whole answer is called.</summary>
    string WholeName { get; }

    /// <summary>What an event of a stream is called.</summary>
    string PartName { get; }

    /// <summary>Reads a request.</summary>
    /// <exception cref="ApiError">It is not what it should be.</exception>
    TextRequest Read(RequestFields fields, ModelHost host);

    /// <summary>Fields of a choice in a whole answer.</summary>
    void WriteWhole(Utf8JsonWriter json, TextRequest request, Choice choice);

    /// <summary>Whether an event begins each choice.</summary>
    bool HasFirst { get; }

    /// <summary>Fields of a choice in the event that begins it.</summary>
    void WriteFirst(Utf8JsonWriter json);

    /// <summary>Fields of a choice in an event.</summary>
    void WritePart(Utf8JsonWriter json, TextRequest request, string text, Choice choice, IReadOnlyList<TokenProbability> tokens);

    /// <summary>Fields of a choice in the event that ends it.</summary>
    void WriteLast(Utf8JsonWriter json);
}
