// Shows the parts of the page as they come. The browser connects again by itself; where it gave up, this does.
"use strict";
const lost = document.getElementById("lost");

function show(part) {
  let section = document.getElementById(part.id);
  if (!section) {
    section = document.createElement("section");
    section.id = part.id;
    document.querySelector("main").append(section);
  }
  // What the server sends is made of escaped text; folds stay as the reader left them.
  const open = Array.from(section.querySelectorAll("details"), fold => fold.open);
  section.innerHTML = part.html;
  section.querySelectorAll("details").forEach((fold, i) => { fold.open = open[i] ?? false; });
}

// The parts that there are, in their order; others are gone.
function arrange(order) {
  const main = document.querySelector("main");
  main.querySelectorAll(":scope > section").forEach(section => {
    if (!order.includes(section.id)) {
      section.remove();
    }
  });
  order.forEach((id, i) => {
    const section = document.getElementById(id), before = i > 0 ? document.getElementById(order[i - 1]) : lost;
    if (section && before && section.previousElementSibling !== before) {
      before.after(section);
    }
  });
}

function follow() {
  const events = new EventSource("/events");
  events.onopen = () => { lost.hidden = true; };
  events.onmessage = message => {
    const said = JSON.parse(message.data);
    if (said.order) {
      arrange(said.order);
    } else {
      show(said);
    }
  };
  events.onerror = () => {
    lost.hidden = false;
    if (events.readyState === EventSource.CLOSED) {
      events.close();
      setTimeout(follow, 2000);
    }
  };
}

follow();
