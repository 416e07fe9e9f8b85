//! The report as a page for a browser: titled sections, each with a drawing, if there is one, and preformatted text.
//!
//! Owns the escaping, and the page's colors. It does no I/O: the caller writes the file.

/// One section of the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// A drawing as SVG, which is put into the page as it is: one of [`super::timeline`].
    pub drawing: Option<String>,
    /// Its text.
    pub text: String,
}

/// A self-contained HTML page of these sections. All titles and texts are escaped.
pub fn html(title: &str, sections: &[Section]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE_SHEET}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for Section { title, drawing, text } in sections {
        page += &format!("<section>\n<h2>{}</h2>\n", escaped(title));
        if let Some(drawing) = drawing {
            page += &format!("<figure>\n<div class=\"scroll\">\n{drawing}</div>\n{LEGEND}</figure>\n");
        }
        page += &format!("<pre>{}</pre>\n</section>\n", escaped(text));
    }
    page + "</body>\n</html>\n"
}

const LEGEND: &str = "<figcaption>Time goes down. <span class=\"command\">■</span> command, <span class=\"claimed\">■</span> \
    transaction by the replies, <span class=\"real\">■</span> transaction by the evidence, <span class=\"fault\">◆</span> fault, \
    <span class=\"fault\">✕</span> cancel; a point at its end: it goes on.</figcaption>\n";

const STYLE_SHEET: &str = "
:root { color-scheme: light dark; --command: #9ca3af; --claimed: #2563eb; --real: #d97706; --bad: #c81e1e; --fault: #9333ea }
@media (prefers-color-scheme: dark) { :root { --command: #6b7280; --claimed: #7aa2ff; --real: #f0a84b; --bad: #ff7b72;
  --fault: #c58cff } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
pre { font: 13px/1.45 ui-monospace, monospace; overflow-x: auto; padding: 1rem; border: 1px solid #8886; border-radius: 6px;
  overflow-wrap: normal }
figure { margin: 1rem 0 } figcaption { font-size: 13px; opacity: .8 } .scroll { overflow-x: auto }
svg { display: block } svg text { font: 12.5px ui-monospace, monospace; fill: currentColor } svg .head { font-weight: 700 }
svg .lane { stroke: #8884 } svg .command { fill: var(--command) } svg .claimed { fill: var(--claimed) }
svg .real { fill: var(--real) } svg .fault { fill: var(--fault) } svg .cancel { stroke: var(--fault); stroke-width: 2.5 }
svg path.bad { stroke: var(--bad); stroke-dasharray: 5 3 } svg path.after { stroke: #8886 }
svg text.bad { fill: var(--bad); font-weight: 700 }
span.command { color: var(--command) } span.claimed { color: var(--claimed) } span.real { color: var(--real) }
span.fault { color: var(--fault) }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 .6rem } pre { font-size: 11px; padding: .6rem } }
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 11px } h2 { break-after: avoid } figure { break-inside: avoid }
  .scroll { overflow: visible } svg { max-width: 100%; max-height: 22cm; height: auto }
  pre { font-size: 8px; white-space: pre-wrap; overflow: visible; border: 0; padding: 0 }
  svg, span { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
";

/// Text that is no markup.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            it => safe.push(it),
        }
    }
    safe
}
