// What is wrong with how this page looks right now, as sentences. Reads the page, changes nothing that stays.
(() => {
  const faults = [];
  const LEAST_TEXT = 14, LEAST_CONTRAST = 4.5, LEAST_TARGET = 44;

  const probe = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const known = new Map();
  const colour = text => {
    if (!known.has(text)) known.set(text, drawn(text));
    return [...known.get(text)];
  };
  const drawn = text => {
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = text;
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = probe.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const contrast = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };

  const root = document.documentElement;
  // What a page without a background of its own is painted on; depends on the scheme the page says it knows.
  const bare = document.body.appendChild(document.createElement("div"));
  bare.style.backgroundColor = "Canvas";
  const canvas = colour(getComputedStyle(bare).backgroundColor);
  bare.remove();
  const grounds = new Map();
  const background = element => {
    if (!grounds.has(element)) grounds.set(element, painted(element));
    return grounds.get(element);
  };
  const painted = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") faults.push(`contrast cannot be computed over the background image of ${name(e)}`);
      layers.push(colour(style.backgroundColor));
    }
    return layers.reverse().reduce((below, top) => over(top, below), canvas);
  };
  const opacity = element => {
    let all = 1;
    for (let e = element; e; e = e.parentElement) all *= Number(getComputedStyle(e).opacity);
    return all;
  };
  const name = e => {
    const text = (e.innerText || e.value || "").trim().slice(0, 12).replace(/\s+/g, " ");
    return `<${e.localName}${e.id ? "#" + e.id : ""}${[...e.classList].map(c => "." + c).join("")}>${text ? " “" + text + "”" : ""}`;
  };
  const shown = e => {
    if (!e.checkVisibility({opacityProperty: true, visibilityProperty: true})) return false;
    const box = e.getBoundingClientRect();
    return box.width > 1 && box.height > 1;
  };
  const read = (element, style, what) => {
    const size = parseFloat(style.fontSize);
    if (size < LEAST_TEXT) faults.push(`text of ${size}px: ${what}`);
    const ground = background(element), ink = colour(style.color);
    ink[3] *= opacity(element);
    const ratio = contrast(over(ink, ground), ground);
    if (ratio < LEAST_CONTRAST)
      faults.push(`contrast ${ratio.toFixed(2)}: ${what} (${style.color} on rgb(${ground.slice(0, 3).map(Math.round)}))`);
  };

  // Text.
  const seen = new Set(), words = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), element = walk.currentNode.parentElement;
    if (!text || ["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "OPTION", "TITLE"].includes(element.tagName.toUpperCase()) || !shown(element)) continue;
    words.push([element, text]);
    if (seen.has(element)) continue;
    seen.add(element);
    read(element, getComputedStyle(element), name(element));
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]):not([type=checkbox]):not([type=radio]), textarea, select")) {
    if (!shown(field)) continue;
    read(field, getComputedStyle(field), name(field));
    if (field.placeholder && !field.value) {
      const {fontSize} = getComputedStyle(field), {color} = getComputedStyle(field, "::placeholder");
      read(field, {fontSize, color}, `placeholder of ${name(field)}`);
    }
    if (!field.labels?.length && !field.ariaLabel && !field.getAttribute("aria-labelledby")) faults.push(`no label: ${name(field)}`);
  }

  // Width.
  if (root.scrollWidth > innerWidth) faults.push(`scrolls sideways: ${root.scrollWidth}px wide in ${innerWidth}px`);
  for (const e of document.body.querySelectorAll("*")) {
    const box = e.getBoundingClientRect();
    if (!shown(e) || (box.right <= innerWidth + 1 && box.left >= -1)) continue;
    let scrolls = e.parentElement;
    while (scrolls && !["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(scrolls).overflowX)) scrolls = scrolls.parentElement;
    if (!scrolls) { faults.push(`sticks out of the page: ${name(e)} ${Math.round(box.left)}…${Math.round(box.right)}px`); break; }
  }

  // What a finger has to hit: everything that is a button or looks like one.
  const targets = "button, a, summary, select, textarea, input:not([type=hidden]), [role=button]";
  for (const e of document.querySelectorAll(targets)) {
    if (!shown(e) || (e.localName === "a" && getComputedStyle(e).display === "inline")) continue;
    let box = e.getBoundingClientRect();
    if (["checkbox", "radio"].includes(e.type) && e.labels?.length) box = e.labels[0].getBoundingClientRect();
    if (box.height < LEAST_TARGET - 0.5 || box.width < LEAST_TARGET - 0.5)
      faults.push(`touch target of ${Math.round(box.width)}×${Math.round(box.height)}px: ${name(e)}`);
  }

  // What a reader or a search engine goes by.
  if (!document.title.trim()) faults.push("no title");
  if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} h1`);
  if (!document.querySelector("meta[name=viewport]")) faults.push("no viewport");
  for (const image of document.querySelectorAll("img, svg")) {
    if (image.localName === "img" ? !image.hasAttribute("alt") : !(image.getAttribute("aria-label") || image.querySelector("title") || image.getAttribute("aria-hidden")))
      faults.push(`no word for an image: ${name(image)}`);
  }
  // A word in brackets is help; a sentence is a translation that was forgotten. What a creator typed stays as it is.
  const isForeign = text => 5 * (text.match(/\p{Script=Han}/gu) ?? []).length > (text.match(/\p{Letter}/gu) ?? []).length;
  const foreign = words.filter(([e, text]) => root.lang === "en" && isForeign(text) && e.closest("[lang]") === root && !e.closest("pre, code, textarea, output, [data-own]"));
  for (const [e] of foreign.slice(0, 3)) faults.push(`Chinese on an English page: ${name(e)}`);
  if (root.lang === "zh-CN" && !words.some(([, text]) => /\p{Script=Han}/u.test(text))) faults.push("no Chinese on a Chinese page");

  return {faults: [...new Set(faults)], lang: root.lang, text: document.body.innerText.trim()};
})()
