//! Hazard: ready-made statements that mean something else than what was asked: other rows, rows twice or not at all, text that
//! is run.
//!
//! What a table's operations ask of a database has too many bounds to be written at each case, so this file knows its database
//! by names that each program has in its `bed`.

use proptest::prelude::{Strategy, prop};
use proptest::test_runner::{Config, TestRunner};
use unstale::registry::{Dep, Registry};
use unstale::{Error, ErrorClass, Page, Record, Scope, Select, Table};

use crate::bed::{Database, Fresh, NO_SUCH_COLUMN, NULLS_FIRST, ORDERS, Source, put};

unstale::table! {
    /// A campaign. Its table and one of its columns are named as nobody should.
    #[derive(Clone, Debug, PartialEq)]
    struct Campaign in "the \"order\"" {
        id: i64,
        name: String,
        open: bool,
        budget: i64,
        score: Option<i64>,
        r#where: Option<String>,
    }
}

type Campaigns = Table<Campaign, Source>;
type Rows = Select<Campaign, Database>;

fn campaign(id: i64, name: &str, budget: i64, score: Option<i64>) -> Campaign {
    let place = score.map(|it| format!("place {it}"));
    Campaign { id, name: name.into(), open: id % 2 == 1, budget, score, r#where: place }
}

/// A database with the table, a scope over it, and the table.
async fn empty() -> (Fresh, Scope<Source>, Campaigns) {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request 17");
    sqlx::raw_sql(ORDERS).execute(&scope).await.expect("ddl");
    let campaigns = Table::new(scope.handle("Campaigns"));
    (fresh, scope, campaigns)
}

/// The same with four rows.
async fn filled() -> (Fresh, Scope<Source>, Campaigns) {
    let (fresh, scope, campaigns) = empty().await;
    for row in [
        campaign(1, "alpha", 100, None),
        campaign(2, "beta", 200, Some(5)),
        campaign(3, "50% off", 200, Some(7)),
        campaign(4, "50 cents off", 300, None),
    ] {
        campaigns.insert(&row).await.expect("insert");
    }
    (fresh, scope, campaigns)
}

fn keys(rows: &[Campaign]) -> Vec<i64> {
    rows.iter().map(|it| it.id).collect()
}

/// The keys that are listed, after it was seen that as many are counted.
async fn listed(campaigns: &Campaigns, rows: Rows) -> Vec<i64> {
    let list = campaigns.list(rows.clone()).await.expect("list");
    assert_eq!(campaigns.count(rows).await.expect("count"), list.len() as u64);
    keys(&list)
}

pub(crate) async fn row_is_found_as_it_was_inserted_and_updated_until_it_is_deleted() {
    let (_fresh, _scope, campaigns) = empty().await;
    let mut row = campaign(17, "summer", 100, Some(3));
    assert_eq!(campaigns.find(17).await.expect("find"), None);
    campaigns.insert(&row).await.expect("insert");
    assert_eq!(campaigns.find(17).await.expect("find"), Some(row.clone()));
    (row.name, row.open, row.score, row.r#where) = ("winter".into(), false, None, Some(String::new()));
    assert!(campaigns.update(&row).await.expect("update"));
    assert_eq!(campaigns.find(17).await.expect("find"), Some(row));
    assert!(campaigns.delete(17).await.expect("delete"));
    assert_eq!(campaigns.count(Campaign::all()).await.expect("count"), 0);
}

pub(crate) async fn change_touches_the_row_with_its_key_alone() {
    let (_fresh, _scope, campaigns) = filled().await;
    let before = campaigns.list(Campaign::all()).await.expect("list");
    assert!(campaigns.update(&campaign(2, "new", 1, None)).await.expect("update"));
    assert!(campaigns.delete(3).await.expect("delete"));
    let after = campaigns.list(Campaign::all()).await.expect("list");
    assert_eq!(after, [before[0].clone(), campaign(2, "new", 1, None), before[3].clone()]);
}

pub(crate) async fn change_of_a_row_that_is_not_there_is_no_change() {
    let (_fresh, _scope, campaigns) = filled().await;
    assert!(!campaigns.update(&campaign(9, "nobody", 1, None)).await.expect("update"));
    assert!(!campaigns.delete(9).await.expect("delete"));
    assert_eq!(campaigns.count(Campaign::all()).await.expect("count"), 4);
}

pub(crate) async fn duplicate_key_names_operation_and_table_and_is_not_tried_again() {
    let (_fresh, _scope, campaigns) = filled().await;
    let error = campaigns.insert(&campaign(1, "again", 1, None)).await.expect_err("the key is there");
    assert_eq!((error.operation, error.class, error.attempts), ("insert", ErrorClass::Rejected, 1));
    assert!(error.source.as_database_error().is_some_and(|it| it.is_unique_violation()));
    let text = error.to_string();
    assert!(text.starts_with("the \"order\": `insert` failed in scope `request 17`"), "{text}");
    assert_eq!(campaigns.find(1).await.expect("find"), Some(campaign(1, "alpha", 100, None)));
}

pub(crate) async fn filter_keeps_the_rows_of_which_it_holds() {
    let (_fresh, _scope, campaigns) = filled().await;
    for (expected, rows) in [
        (&[1, 2, 3, 4][..], Campaign::all()),
        (&[1, 3], Campaign::all().filter(|it| it.open.eq(true))),
        (&[2], Campaign::all().filter(|it| it.name.eq("beta"))),
        (&[1, 3, 4], Campaign::all().filter(|it| it.name.not_eq("beta"))),
        (&[1], Campaign::all().filter(|it| it.budget.less(200))),
        (&[1, 2, 3], Campaign::all().filter(|it| it.budget.at_most(200))),
        (&[4], Campaign::all().filter(|it| it.budget.more(200))),
        (&[2, 3, 4], Campaign::all().filter(|it| it.budget.at_least(200))),
        (&[1, 4], Campaign::all().filter(|it| it.budget.one_of([100, 300, 999]))),
        (&[], Campaign::all().filter(|it| it.budget.one_of(Vec::<i64>::new()))),
        (&[2], Campaign::all().filter(|it| it.budget.eq(200)).filter(|it| it.open.eq(false))),
        (&[2], Campaign::all().filter(|it| it.budget.eq(200).and(it.open.eq(false)))),
        (&[1, 2, 3], Campaign::all().filter(|it| it.budget.eq(200).or(it.open.eq(true)))),
    ] {
        assert_eq!(listed(&campaigns, rows).await, expected);
    }
}

pub(crate) async fn alternative_stays_inside_its_filter() {
    let (_fresh, _scope, campaigns) = filled().await;
    // Without parentheses it would be `open and id = 1 or id = 2`.
    let rows = Campaign::all().filter(|it| it.open.eq(true)).filter(|it| it.id.eq(1).or(it.id.eq(2)));
    assert_eq!(listed(&campaigns, rows).await, [1]);
    let rows = Campaign::all().filter(|it| it.id.eq(1).or(it.id.eq(2)).and(it.open.eq(false)));
    assert_eq!(listed(&campaigns, rows).await, [2]);
}

pub(crate) async fn null_is_compared_as_none() {
    let (_fresh, _scope, campaigns) = filled().await;
    for (expected, rows) in [
        (&[1, 4][..], Campaign::all().filter(|it| it.score.is_null())),
        (&[2, 3], Campaign::all().filter(|it| it.score.is_not_null())),
        (&[1, 4], Campaign::all().filter(|it| it.score.eq(None))),
        (&[2, 3], Campaign::all().filter(|it| it.score.not_eq(None))),
        (&[2], Campaign::all().filter(|it| it.score.eq(5))),
        (&[2], Campaign::all().filter(|it| it.score.eq(Some(5)))),
        (&[1, 3, 4], Campaign::all().filter(|it| it.score.not_eq(5))),
        (&[3], Campaign::all().filter(|it| it.score.more(5))),
        (&[], Campaign::all().filter(|it| it.score.at_most(None))),
        (&[1, 3, 4], Campaign::all().filter(|it| it.score.one_of([Some(7), None]))),
        (&[1, 4], Campaign::all().filter(|it| it.score.one_of([None, None]))),
        (&[3], Campaign::all().filter(|it| it.score.one_of([7]))),
        (&[2], Campaign::all().filter(|it| it.r#where.eq("place 5"))),
    ] {
        assert_eq!(listed(&campaigns, rows).await, expected);
    }
}

pub(crate) async fn pattern_matches_and_text_is_contained_literally() {
    let (_fresh, _scope, campaigns) = filled().await;
    for (expected, rows) in [
        (&[3, 4][..], Campaign::all().filter(|it| it.name.like("50%off"))),
        (&[2], Campaign::all().filter(|it| it.name.like("b_ta"))),
        (&[3], Campaign::all().filter(|it| it.name.like(r"50\% off"))),
        (&[3], Campaign::all().filter(|it| it.name.contains("0% o"))),
        (&[], Campaign::all().filter(|it| it.name.contains("b_ta"))),
        (&[], Campaign::all().filter(|it| it.name.contains(r"\"))),
        (&[2, 3], Campaign::all().filter(|it| it.r#where.contains("place"))),
    ] {
        assert_eq!(listed(&campaigns, rows).await, expected);
    }
}

pub(crate) async fn value_that_looks_like_sql_is_a_value() {
    let (_fresh, _scope, campaigns) = filled().await;
    let attack = r#"x' or 1 = 1; drop table "the ""order"""; --"#;
    for rows in [
        Campaign::all().filter(|it| it.name.eq(attack)),
        Campaign::all().filter(|it| it.name.one_of([attack, "' or ''='"])),
        Campaign::all().filter(|it| it.name.like(attack)),
        Campaign::all().filter(|it| it.name.contains("' or '%'='")),
    ] {
        assert_eq!(listed(&campaigns, rows).await, [] as [i64; 0]);
    }
    let row = campaign(5, attack, 1, None);
    campaigns.insert(&row).await.expect("insert");
    let rows = Campaign::all().filter(|it| it.name.contains("drop table"));
    assert_eq!(campaigns.list(rows).await.expect("list"), [row]);
}

pub(crate) async fn rows_are_sorted_by_each_column_in_turn_and_then_by_the_key() {
    let (_fresh, _scope, campaigns) = filled().await;
    let rows = Campaign::all().sort(|it| it.budget.descending());
    assert_eq!(listed(&campaigns, rows).await, [4, 2, 3, 1]);
    let rows = Campaign::all().sort(|it| it.open.ascending()).sort(|it| it.name.ascending());
    assert_eq!(listed(&campaigns, rows).await, [4, 2, 3, 1]);
    let rows = Campaign::all().sort(|it| it.id.descending());
    assert_eq!(listed(&campaigns, rows).await, [4, 3, 2, 1]);
    let rows = Campaign::all().sort(|it| it.score.ascending());
    let expected = if NULLS_FIRST { [1, 4, 2, 3] } else { [2, 3, 1, 4] };
    assert_eq!(listed(&campaigns, rows).await, expected, "NULL comes where the database has it");
}

pub(crate) async fn page_has_its_rows_and_says_how_many_there_are() {
    let (_fresh, _scope, campaigns) = filled().await;
    let rows = || Campaign::all().filter(|it| it.budget.at_least(200)).sort(|it| it.name.ascending());
    let Page { rows: first, total, pages } = campaigns.page(rows(), 1, 2).await.expect("page");
    assert_eq!((keys(&first), total, pages), (vec![4, 3], 3, 2));
    let second = campaigns.page(rows(), 2, 2).await.expect("page");
    assert_eq!((keys(&second.rows), second.total), (vec![2], 3));
    let beyond = campaigns.page(rows(), u32::MAX, 1000).await.expect("page");
    assert_eq!((keys(&beyond.rows), beyond.total, beyond.pages), (vec![], 3, 1));
}

pub(crate) async fn page_that_cannot_be_is_refused_with_what_can() {
    let (_fresh, _scope, campaigns) = filled().await;
    for (number, size) in [(1, 0), (0, 10), (1, 1001)] {
        let error = campaigns.page(Campaign::all(), number, size).await.expect_err("no such page");
        assert!(matches!(Error::of(&error.source), Some(Error::NoSuchPage { max: 1000, .. })), "{error}");
        assert!(error.to_string().contains("1 to 1000 rows (`page_rows_max`)"), "{error}");
    }
    let error = campaigns.first(Campaign::all(), 0).await.expect_err("no such page");
    assert_eq!(error.operation, "first");
}

pub(crate) async fn reading_on_behind_a_key_misses_nothing_when_earlier_rows_go() {
    let (_fresh, _scope, campaigns) = filled().await;
    let mut seen = Vec::new();
    let mut last = 0;
    loop {
        let part = campaigns.first(Campaign::all().filter(|it| it.id.more(last)), 1).await.expect("first");
        let Some(row) = part.first() else { break };
        last = row.id;
        seen.push(last);
        assert!(campaigns.delete(last).await.expect("delete"));
    }
    assert_eq!(seen, [1, 2, 3, 4]);
}

/// Some rows, so that many are equal in each column.
fn some_rows() -> impl Strategy<Value = Vec<Campaign>> {
    let row = ("[ab%]{0,2}", 0..3i64, prop::option::of(0..3i64));
    prop::collection::vec(row, 0..12).prop_map(|rows| {
        let numbered = (0..).zip(rows);
        numbered.map(|(id, (name, budget, score))| campaign(id, &name, budget, score)).collect()
    })
}

pub(crate) async fn pages_hold_what_a_list_in_memory_would() {
    // The runner of the properties is synchronous, so it has a thread and a runtime of its own.
    std::thread::spawn(pages_as_in_memory).join().expect("what the model says");
}

fn pages_as_in_memory() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (_fresh, _scope, campaigns) = runtime.block_on(empty());
    let given = (some_rows(), 0..3i64, prop::option::of(0..3i64), "[ab%]?", 1..5u32, proptest::bool::ANY);
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let same = runner.run(&given, |(rows, budget, score, text, size, downwards)| {
        let kept =
            |it: &&Campaign| it.budget <= budget && it.score != score || it.name.contains(&text) && it.score.is_some();
        let mut expected: Vec<Campaign> = rows.iter().filter(kept).cloned().collect();
        expected.sort_by(|a, b| {
            let by_budget = a.budget.cmp(&b.budget);
            let by_budget = if downwards { by_budget.reverse() } else { by_budget };
            let nulls = |row: &Campaign| (row.score.is_none() != NULLS_FIRST, row.score);
            by_budget.then(nulls(a).cmp(&nulls(b))).then(a.id.cmp(&b.id))
        });
        let select = || {
            let kept = Campaign::all().filter(|it| {
                let cheap = it.budget.at_most(budget).and(it.score.not_eq(score));
                cheap.or(it.name.contains(&text).and(it.score.is_not_null()))
            });
            let sorted = kept.sort(|it| if downwards { it.budget.descending() } else { it.budget.ascending() });
            sorted.sort(|it| it.score.ascending())
        };
        runtime.block_on(async {
            for row in campaigns.list(Campaign::all()).await.expect("list") {
                campaigns.delete(row.id).await.expect("delete");
            }
            for row in &rows {
                campaigns.insert(row).await.expect("insert");
            }
            let mut paged = Vec::new();
            for number in 1.. {
                let page = campaigns.page(select(), number, size).await.expect("page");
                assert_eq!(page.total, expected.len() as u64);
                if page.rows.is_empty() {
                    assert_eq!(page.pages, u64::from(number - 1));
                    break;
                }
                paged.extend(page.rows);
            }
            assert_eq!(paged, expected);
        });
        Ok(())
    });
    same.expect("what the model says");
}

pub(crate) async fn column_that_the_table_lacks_is_an_error_and_no_text() {
    unstale::table! {
        #[derive(Debug)]
        struct Misspelled in "kv" { k: i64, value: String }
    }
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let table = Table::<Misspelled, _>::new(scope.handle("Misspelled"));
    put(&scope, 1, 1).await.expect("put");
    for rows in [Misspelled::all(), Misspelled::all().filter(|it| it.value.eq("value"))] {
        let error = table.list(rows).await.expect_err("there is no such column");
        assert!(error.to_string().contains(NO_SUCH_COLUMN), "{error}");
    }
}

pub(crate) async fn row_that_cannot_be_read_costs_the_session_nothing() {
    unstale::table! {
        #[derive(Debug)]
        struct Texts in "kv" { k: i64, v: String }
    }
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("begin");
    let texts = Table::<Texts, _>::new(scope.handle("Texts"));
    let error = texts.list(Texts::all()).await.expect_err("it is a number");
    assert_eq!(error.class, ErrorClass::Rejected);
    put(&scope, 2, 2).await.expect("put");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2)]);
}

pub(crate) async fn table_that_outlives_its_scope_names_itself_and_its_holder() {
    let (_fresh, scope, campaigns) = filled().await;
    scope.end().await.expect("end");
    let error = campaigns.find(1).await.expect_err("stale");
    let Some(Error::Stale(stale)) = Error::of(&error.source) else { panic!("{error}") };
    assert_eq!((error.repository, error.operation, &*stale.owner), (Campaign::TABLE, "find", "Campaigns"));
    assert!(error.to_string().ends_with("ask the current scope for this repository"), "{error}");
}

pub(crate) async fn every_operation_can_be_spawned() {
    let (_fresh, _scope, campaigns) = filled().await;
    let all = async move {
        campaigns.insert(&campaign(5, "late", 1, None)).await?;
        campaigns.update(&campaign(5, "later", 1, None)).await?;
        let found = campaigns.find(5).await?;
        let page = campaigns.page(Campaign::all().filter(|it| it.open.eq(true)), 1, 2).await?;
        let first = campaigns.first(Campaign::all().sort(|it| it.name.ascending()), 1).await?;
        let rest = campaigns.list(Campaign::all()).await?.len() as u64 - campaigns.count(Campaign::all()).await?;
        campaigns.delete(5).await?;
        Ok::<_, unstale::RepositoryError>((found, page.total, keys(&first), rest))
    };
    let done = tokio::spawn(all).await.expect("no panic").expect("done");
    assert_eq!(done, (Some(campaign(5, "later", 1, None)), 3, vec![4], 0));
}

pub(crate) async fn table_is_a_service_as_it_stands() {
    struct Billing(Dep<Campaigns>);
    let (_fresh, scope, _) = filled().await;
    let mut services = Registry::<Source>::builder();
    services.scoped(Campaigns::new);
    services.scoped(Billing);
    let registry = services.build().expect("they fit");
    let billing = registry.enter(&scope).resolve::<Billing>().await.expect("a service");
    assert!(billing.0.find(1).await.expect("find").is_some());
}
