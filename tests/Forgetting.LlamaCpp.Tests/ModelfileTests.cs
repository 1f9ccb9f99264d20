using Forgetting.Checkpoints.Gguf;
using Forgetting.Text.ChatTemplates;
using Xunit;

namespace Forgetting.LlamaCpp.Tests;

/// <summary>The file for ollama. Go's templates are written out by hand.</summary>
public class ModelfileTests
{
    private const string ChatMl =
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}" +
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    private const string Llama2 =
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}" +
        "{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}" +
        "{% else %}{{ raise_exception('no') }}{% endif %}{% endfor %}";

    [Fact]
    public void A_template_of_pieces_is_said_in_gos_language()
    {
        Assert.Equal(
            "FROM ./m.gguf\nTEMPLATE \"\"\"{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n" +
            "{{ else }}<|im_start|>system\nBe kind.<|im_end|>\n{{ end }}" +
            "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}" +
            "{{ if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n" +
            "{{ else if eq .Role \"assistant\" }}<|im_start|>assistant\n{{ .Content }}{{ if not $last }}<|im_end|>\n{{ end }}{{ end }}" +
            "{{ if and $last (ne .Role \"assistant\") }}<|im_start|>assistant\n{{ end }}{{ end }}\"\"\"\n" +
            "PARAMETER stop \"<|im_end|>\"\nPARAMETER num_ctx 2048\n",
            Modelfile.Text("./m.gguf", null, Template(ChatMl), null, ["<|im_end|>"], 2048));
    }

    [Fact]
    public void The_token_that_llama_cpp_puts_in_front_is_not_said_twice()
    {
        // Only the first of them: those between turns are the template's own.
        Assert.Equal(
            "FROM ./base\nADAPTER ./a.gguf\nTEMPLATE \"\"\"{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}" +
            "{{ if eq .Role \"user\" }}[INST] {{ .Content }} [/INST]" +
            "{{ else if eq .Role \"assistant\" }} {{ .Content }}{{ if not $last }} </s><s>{{ end }}{{ end }}" +
            "{{ if and $last (ne .Role \"assistant\") }}{{ end }}{{ end }}\"\"\"\n" +
            "PARAMETER stop \"</s>\"\nPARAMETER num_ctx 64\n",
            Modelfile.Text("./base", "./a.gguf", Template(Llama2), "<s>", ["</s>"], 64));
    }

    [Fact]
    public void A_layout_that_pieces_cannot_say_is_left_to_ollama_and_none_is_a_text_to_continue()
    {
        const string numbered = "{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}";
        Assert.DoesNotContain("TEMPLATE", Modelfile.Text("./m.gguf", null, Template(numbered), null, ["e"], 8), StringComparison.Ordinal);
        string plain = Modelfile.Text("./m.gguf", null, null, "<s>", ["e"], 8);
        Assert.Contains("TEMPLATE \"\"\"{{ .Prompt }}\"\"\"\n", plain, StringComparison.Ordinal);
    }

    private static ChatTemplate Template(string text) =>
        ChatTemplate.Parse(text, "test", new Dictionary<string, string> { ["bos_token"] = "<s>", ["eos_token"] = "</s>" });
}
