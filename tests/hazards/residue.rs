//! Hazard: what one borrower leaves on a connection reaches the next.

use unstale::source::{Connection, Source};

use super::bed::{Bed, only_one};

pub(crate) async fn residue_does_not_reach_the_next_borrower<B: Bed>() {
    let bed = B::with(only_one()).await;
    for begins in [false, true] {
        for residue in B::RESIDUE {
            let scope = bed.sessions().scope("first");
            B::run(&scope, residue).await.expect(residue);
            assert_ne!(B::residue(&scope).await, B::NO_RESIDUE, "{residue}");
            scope.end().await.expect("end");
            let scope = bed.sessions().scope("second");
            if begins {
                scope.begin().await.expect("begin");
            }
            assert_eq!(B::residue(&scope).await, B::NO_RESIDUE, "{residue}");
        }
    }
    let cleans = <B::Source as Source>::Connection::CLEANS;
    assert_eq!(bed.sessions().health().discarded == 0, cleans, "what can be cleaned costs no connection");
}
