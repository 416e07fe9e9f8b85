//! Hazard: as of the tables on every database, where the case knows SQLite's own words.

use unstale::{Policy, Record, Select, SqliteOptions, Table};

unstale::table! {
    /// A campaign. Its table is named as nobody should.
    #[derive(Debug)]
    struct Campaign in "the \"order\"" { id: i64, name: String, budget: i64, score: Option<i64> }
}

type Rows = Select<Campaign, sqlx::Sqlite>;

#[test]
fn selection_shows_its_sql_and_no_values() {
    let rows: Rows = Campaign::all().filter(|it| it.name.eq("secret").or(it.score.is_null()));
    let text = format!("{:?}", rows.sort(|it| it.budget.descending()));
    let (_, condition) = text.split_once(" where ").expect("a condition");
    let expected = r#"(t."name" = ? or t."score" is null) order by t."budget" desc, t."id""#;
    assert_eq!(condition.replace(r#""the ""order""""#, "t"), expected);
}

#[tokio::test]
async fn key_of_text_is_found_by_a_text() {
    unstale::table! {
        #[derive(Debug, PartialEq)]
        struct Setting in "setting" { name: String, value: Option<Vec<u8>> }
    }
    let scope = SqliteOptions::from_url("sqlite::memory:").expect("a URL");
    let scope = scope.open(Policy::default()).await.expect("a database").scope("request");
    sqlx::query("create table setting (name text primary key, value blob)").execute(&scope).await.expect("ddl");
    let settings = Table::new(scope.handle("Settings"));
    let row = Setting { name: "logo".into(), value: Some(vec![0, 255]) };
    settings.insert(&row).await.expect("insert");
    assert_eq!(settings.find("logo").await.expect("find"), Some(row));
    assert!(settings.delete("logo").await.expect("delete"));
}
