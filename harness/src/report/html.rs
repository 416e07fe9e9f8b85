//! The report as a page for a browser: titled sections of preformatted text.
//!
//! Owns the escaping. It does no I/O: the caller writes the file.

/// A self-contained HTML page of titled sections of preformatted text. Everything is escaped.
pub fn html(title: &str, sections: &[(String, String)]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE_SHEET}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for (name, text) in sections {
        page += &format!("<section>\n<h2>{}</h2>\n<pre>{}</pre>\n</section>\n", escaped(name), escaped(text));
    }
    page + "</body>\n</html>\n"
}

const STYLE_SHEET: &str = ":root { color-scheme: light dark } \
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem } \
    pre { font: 13px/1.45 ui-monospace, monospace; overflow-x: auto; padding: 1rem; border: 1px solid #8886; \
    border-radius: 6px }";

fn escaped(text: &str) -> String {
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
