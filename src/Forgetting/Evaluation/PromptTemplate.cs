using Forgetting.Core;
using Forgetting.Evaluation.Readers;
using Forgetting.Text.ChatTemplates;

namespace Forgetting.Evaluation;

/// <summary>A Jinja template over the fields of a document, such as a task's prompt.</summary>
internal sealed class PromptTemplate
{
    private readonly Statement _body;
    private readonly string _place;

    /// <param name="text">Jinja.</param>
    /// <param name="place">What errors about the template begin with.</param>
    /// <exception cref="UserException">A syntax error.</exception>
    public PromptTemplate(string text, string place)
    {
        _place = place;
        Text = text;
        try
        {
            // Of a chat template's closing line end Jinja takes one away; a prompt keeps its own.
            _body = TemplateParser.Parse(text.EndsWith('\n') ? text + "\n" : text);
        }
        catch (TemplateException error)
        {
            throw new UserException($"{place}: {error.Message}".ReplaceLineEndings(" "), error);
        }
    }

    /// <summary>The template as written.</summary>
    public string Text { get; }

    /// <exception cref="UserException">The template fails on this document, which is named.</exception>
    public string Render(TaskDocument document)
    {
        TemplateScope scope = new(null);
        foreach ((object name, object? value) in document.Fields)
        {
            scope[(string)name] = value;
        }

        TemplateOutput output = new();
        using TemplateBudget budget = TemplateBudget.Begin();
        try
        {
            _body(scope, output);
        }
        catch (TemplateException error)
        {
            throw new UserException($"{_place}: {error.Message} (on {document.Place})".ReplaceLineEndings(" "), error);
        }

        return output.Text.ToString();
    }
}
