//! The table of causes: a line for each.
//!
//! Owns the columns. Which causes there are, and their order, is given.

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseRow {
    /// Its signature.
    pub cause: String,
    /// How many plans broke by it.
    pub plans: u64,
    /// In how many ways it showed itself.
    pub faces: usize,
    /// The commands of the shortest plan.
    pub commands: usize,
}

/// A head, and a line for each cause.
pub fn causes_table(rows: &[CauseRow]) -> String {
    const HEAD: &str = "cause (its signature)";
    let longest = rows.iter().map(|row| row.cause.chars().count()).max().unwrap_or(0).max(HEAD.len());
    let head = format!("    {HEAD:longest$}  {:>9}  {:>5}  {}\n", "plans", "faces", "shortest");
    rows.iter().enumerate().fold(head, |text, (at, CauseRow { cause, plans, faces, commands })| {
        let plural = if *commands == 1 { "" } else { "s" };
        format!("{text}{:>2}  {cause:longest$}  {plans:>9}  {faces:>5}  {commands} command{plural}\n", at + 1)
    })
}
