// The filter box, and a button to copy each example.
const filter = document.getElementById("filter");
const nothing = document.getElementById("nothing");
const cards = [...document.querySelectorAll("article")].map((card) => [card, card.textContent.toLowerCase()]);
const sections = [...document.querySelectorAll("section")];

filter.hidden = false;
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/);
  for (const [card, text] of cards) card.hidden = !words.every((word) => text.includes(word));
  for (const section of sections) section.hidden = !section.querySelector("article:not([hidden])");
  nothing.hidden = sections.some((section) => !section.hidden);
});

function copy(example) {
  if (navigator.clipboard) return navigator.clipboard.writeText(example.textContent);
  getSelection().selectAllChildren(example); // a page without TLS has no clipboard
  return Promise.resolve(document.execCommand("copy"));
}

for (const figure of document.querySelectorAll("figure")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await copy(figure.querySelector("pre"));
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  figure.querySelector("figcaption").append(button);
}
