// One message to one or two models side by side, each with a conversation of its own. Texts are only ever set as text.
"use strict";
const form = document.getElementById("ask");
const question = document.getElementById("question");
const columns = Array.from(document.querySelectorAll(".column"), column => ({
  log: column.querySelector(".log"), model: column.querySelector("select"), messages: [],
}));
let running = null;

function say(column, role, text) {
  const part = document.createElement("p");
  part.className = role;
  part.textContent = text;
  column.log.append(part);
  part.scrollIntoView({ block: "nearest" });
  return part;
}

function headers() {
  const key = document.getElementById("key")?.value;
  return key ? { "Content-Type": "application/json", "Authorization": `Bearer ${key}` } : { "Content-Type": "application/json" };
}

function body(column) {
  const number = id => { const text = document.getElementById(id).value; return text === "" ? null : Number(text); };
  return JSON.stringify({
    model: column.model.value, messages: column.messages, stream: true,
    temperature: number("temperature"), max_tokens: number("tokens"), seed: number("seed"),
  });
}

async function answer(column, text, signal) {
  column.messages.push({ role: "user", content: text });
  say(column, "user", text);
  const part = say(column, "assistant", "");
  try {
    const response = await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body: body(column), signal });
    if (!response.ok) throw new Error((await response.json()).error.message);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      rest += value;
      const events = rest.split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (event === "data: [DONE]") continue;
        const json = JSON.parse(event.slice("data: ".length));
        if (json.error) throw new Error(json.error.message);
        part.textContent += json.choices[0]?.delta.content ?? "";
      }
      part.scrollIntoView({ block: "nearest" });
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      say(column, "error", error.message);
      if (part.textContent === "") {
        // Nothing was answered: the question may be asked again.
        part.remove();
        column.messages.pop();
        return;
      }
    }
  }
  column.messages.push({ role: "assistant", content: part.textContent });
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  if (running) { running.abort(); return; }
  const text = question.value.trim();
  if (text === "") return;
  question.value = "";
  running = new AbortController();
  document.getElementById("send").textContent = "Stop";
  await Promise.all(columns.filter(column => column.model.value !== "").map(column => answer(column, text, running.signal)));
  running = null;
  document.getElementById("send").textContent = "Send";
});

question.addEventListener("keydown", event => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !running) {
    event.preventDefault();
    form.requestSubmit();
  }
});

document.getElementById("clear").addEventListener("click", () => {
  running?.abort();
  for (const column of columns) {
    column.messages = [];
    column.log.replaceChildren();
  }
});
