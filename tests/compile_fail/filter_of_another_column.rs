//! A filter that the table could only refuse when it runs, or would quietly answer with nothing.

use unstale::Record;
use unstale::table::{Filter, Select};

unstale::table! {
    struct Campaign in "campaign" { id: i64, name: String, open: bool }
}

unstale::table! {
    struct Account in "account" { id: i64, balance: i64 }
}

fn no_such_column() -> Select<Campaign, sqlx::Sqlite> {
    Campaign::all().filter(|it| it.budget.at_least(100))
}

fn value_of_another_type() -> Select<Campaign, sqlx::Sqlite> {
    Campaign::all().filter(|it| it.open.eq("yes"))
}

fn null_where_none_can_be() -> Select<Campaign, sqlx::Sqlite> {
    Campaign::all().filter(|it| it.name.is_null())
}

fn pattern_for_a_number() -> Select<Campaign, sqlx::Sqlite> {
    Campaign::all().filter(|it| it.id.like("1%"))
}

fn column_of_another_table() -> Filter<Campaign, sqlx::Sqlite> {
    Account::COLUMNS.balance.more(100)
}

fn main() {}
