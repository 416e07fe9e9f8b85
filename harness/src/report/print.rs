//! A report as lines.

use std::fmt;

use super::page::Page;
use super::run::Report;
use super::story::Story;

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = Story::tell(self);
        let mut page = Page::new(self, &rows);
        page.heading();
        for row in &rows {
            page.row(row);
        }
        page.conclusion();
        page.lines.iter().try_for_each(|it| it.write(f, self.color))
    }
}
