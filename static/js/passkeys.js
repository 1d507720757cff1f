// The form in a place marked data-passkey ("get" or "create") is sent with what a passkey answers to data-options. A browser that
// cannot do that keeps the words about it (data-passkey-missing), and the form stays hidden.
{
  const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  const toText = (bytes) => btoa(Array.from(new Uint8Array(bytes), (one) => String.fromCharCode(one)).join(""))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const described = (list = []) => list.map((one) => ({ ...one, id: toBytes(one.id) }));

  // Browsers of before 2025 have no functions that read the options; these do the same with the members that we send.
  const readers = {
    get: (json) => PublicKeyCredential.parseRequestOptionsFromJSON?.(json)
      ?? { ...json, challenge: toBytes(json.challenge), allowCredentials: described(json.allowCredentials) },
    create: (json) => PublicKeyCredential.parseCreationOptionsFromJSON?.(json) ?? {
      ...json,
      challenge: toBytes(json.challenge),
      user: { ...json.user, id: toBytes(json.user.id) },
      excludeCredentials: described(json.excludeCredentials),
    },
  };

  // Not credential.toJSON(): the credentials of some password managers have it, and it fails.
  const written = ({ id, rawId, type, response }) => {
    const answer = { clientDataJSON: toText(response.clientDataJSON) };
    for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (response[name]) answer[name] = toText(response[name]);
    }
    if (response.getTransports) answer.transports = response.getTransports();
    return JSON.stringify({ id, rawId: toText(rawId), type, response: answer });
  };

  const prepare = (place) => {
    const words = place.querySelector("[data-passkey-words]");
    const form = place.querySelector("form");
    const reasons = { NotAllowedError: words.dataset.canceled, InvalidStateError: words.dataset.known };
    place.querySelector("[data-passkey-missing]").hidden = true;
    place.querySelector("[data-passkey-ready]").hidden = false;
    const button = form.querySelector("button");
    window.addEventListener("pageshow", () => { button.ariaBusy = null; }); // coming back by the Back button
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.ariaBusy === "true") return;
      button.ariaBusy = "true";
      words.replaceChildren();
      try {
        const publicKey = readers[place.dataset.passkey](JSON.parse(place.dataset.options));
        form.elements.answer.value = written(await navigator.credentials[place.dataset.passkey]({ publicKey }));
        form.submit();
      } catch (error) {
        const said = Object.assign(document.createElement("p"), { className: "notice notice-bad" });
        said.textContent = reasons[error.name] ?? words.dataset.failed;
        words.append(said);
        button.ariaBusy = null;
      }
    });
  };
  if (window.PublicKeyCredential) document.querySelectorAll("[data-passkey]").forEach(prepare);
}
