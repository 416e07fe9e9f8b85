//! The application in tests that cannot disturb each other: it commits as ever, and nothing of it is left.

use unstale::Sessions;
use unstale::SqliteSource;
use unstale::registry::Registry;
use unstale::testing::{Fixture, Template};
use warehouse::{Limits, SCHEMA, Stocks, receive, services};

static DATABASE: Template = Template::new(SCHEMA);

/// The application inside a test.
async fn application() -> (Fixture<SqliteSource>, Registry<SqliteSource>) {
    let test = DATABASE.fixture().await.expect("a test");
    let services = services(test.sessions().clone(), Limits { most: 100 }).expect("they fit together");
    (test, services)
}

async fn there(services: &Registry<SqliteSource>, article: i64) -> Option<i64> {
    let scope = services.resolve::<Sessions<SqliteSource>>().await.expect("sessions").scope("look");
    let stocks = services.enter(&scope).resolve::<Stocks>().await.expect("the repository");
    stocks.table().find(article).await.expect("a row or none").map(|it| it.count)
}

#[tokio::test]
async fn what_is_received_is_there_for_the_next_request() {
    let (test, services) = application().await;
    assert_eq!(receive(&services, 7, 60).await.expect("received"), 60);
    assert_eq!(receive(&services, 7, 60).await.expect("received"), 40, "the rest does not fit");
    assert_eq!(there(&services, 7).await, Some(100));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn a_limit_that_a_test_changes_is_its_own() {
    let (test, services) = application().await;
    let _limits = services.override_with(Limits { most: 5 }).expect("registered");
    assert_eq!(receive(&services, 7, 60).await.expect("received"), 5);
    test.end().await.expect("isolated");
}
