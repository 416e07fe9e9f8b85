use std::collections::BTreeMap;
use unstale_harness::{chain::*, generate::*, oracle::Verdict, systems::*};
fn main() {
    let n: u64 = std::env::args().nth(2).unwrap_or("1000".into()).parse().unwrap();
    let which = std::env::args().nth(1).unwrap();
    let subject: Box<dyn Subject> = if which == "g" { Box::new(Of::<guarded::Guarded>::new()) } else { Box::new(Of::<sqlx_pool::SqlxPool>::new()) };
    let chain = Chain::new(&*subject);
    let mut counts: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let t = std::time::Instant::now();
    let mut gen_t = std::time::Duration::ZERO;
    for i in 0..n {
        let g = std::time::Instant::now();
        let plan = generate(&Profile::default(), subject.capabilities(), None, &mut random_for(1, i));
        gen_t += g.elapsed();
        let run = chain.run(&plan);
        let key = match &run.judgement.verdict { Verdict::Pass => "pass".into(), Verdict::Violation(v) => v.invariant.to_string(), Verdict::Inconclusive(w) => format!("inc {w}") };
        let e = counts.entry(key).or_default();
        e.0 += 1;
        let text = format!("{}\n{:?}\n{:#?}", unstale_harness::plan::PlanFile::from(plan.clone()), run.judgement.verdict, run.history.trace());
        if e.1.is_empty() || text.len() < e.1.len() { e.1 = text; }
    }
    for (k, (c, t)) in &counts { println!("== {k}: {c}"); if k != "pass" { println!("{t}"); } }
    println!("{:?} {:?}/plan gen", t.elapsed(), gen_t / n as u32);
}
