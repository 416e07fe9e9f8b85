//! The graph of services and their dependencies, known without building anything.
//!
//! Owns the checks that a registry passes before it is built (missing, duplicate, cycle, captive) and the orders that follow
//! from it. Pure: it knows names and lifecycles, no types and no services.

use std::fmt::Display;
use std::panic::Location;

use super::error::{Problem, Step};
use super::lifecycle::Lifecycle;

/// One service. Its name is written out only for a problem, since most graphs have none.
#[derive(Clone, Debug)]
pub(super) struct Node<N> {
    pub(super) name: N,
    pub(super) lifecycle: Lifecycle,
    pub(super) registered: &'static Location<'static>,
    /// Its factory takes the scope's session.
    pub(super) takes_session: bool,
    /// What its factory takes: the service's place in the graph, or the name of one that is not there.
    pub(super) needs: Vec<Result<usize, N>>,
}

/// Services that fit together.
#[derive(Debug)]
pub(super) struct Graph {
    /// Each after everything that it needs.
    pub(super) order: Vec<usize>,
    /// For each, itself and everything that needs it, directly or through others.
    pub(super) dependents: Vec<Vec<usize>>,
}

impl Graph {
    /// Checks the services and orders them.
    pub(super) fn check<N: Display>(nodes: Vec<Node<N>>) -> Result<Self, Vec<Problem>> {
        let mut problems = missing(&nodes);
        let mut walk =
            Walk { nodes: &nodes, marks: vec![Mark::New; nodes.len()], order: Vec::new(), cycles: Vec::new() };
        let mut path = Vec::with_capacity(nodes.len());
        for at in 0..nodes.len() {
            walk.visit(at, &mut path);
        }
        let Walk { order, cycles, .. } = walk;
        let acyclic = cycles.is_empty();
        problems.extend(cycles);
        if acyclic {
            problems.extend(captives(&nodes));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let dependents = dependents(&nodes, &order);
        Ok(Self { order, dependents })
    }
}

fn step<N: Display>(node: &Node<N>) -> Step {
    Step { service: node.name.to_string(), lifecycle: node.lifecycle, registered: node.registered }
}

fn missing<'a, N: Display>(nodes: &'a [Node<N>]) -> Vec<Problem> {
    let known = |it: &Node<N>| it.name.to_string();
    let of = |node: &'a Node<N>| {
        let needs = node.needs.iter().filter_map(|it| it.as_ref().err());
        let problem = move |needed: &N| {
            let needed = needed.to_string();
            let similar = similar(&needed, nodes.iter().map(known));
            Problem::Missing { by: step(node), needed, similar }
        };
        needs.map(problem)
    };
    nodes.iter().flat_map(of).collect()
}

/// The names that may have been meant by this one: the same type under another name, or the same word in another case.
pub(super) fn similar(wanted: &str, known: impl Iterator<Item = String>) -> Vec<String> {
    let stem = |it: &str| it.split(" named ").next().unwrap_or(it).to_lowercase();
    let wanted = stem(wanted);
    known.filter(|it| stem(it).contains(&wanted) || wanted.contains(&stem(it))).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// A depth-first walk along what services need.
struct Walk<'a, N> {
    nodes: &'a [Node<N>],
    marks: Vec<Mark>,
    order: Vec<usize>,
    cycles: Vec<Problem>,
}

impl<N: Display> Walk<'_, N> {
    fn visit(&mut self, at: usize, path: &mut Vec<usize>) {
        match self.marks[at] {
            Mark::Done => return,
            Mark::OnPath => {
                let begin = path.iter().position(|it| *it == at).unwrap_or(0);
                let circle = path[begin..].iter().chain([&at]);
                self.cycles.push(Problem::Cycle { path: circle.map(|it| step(&self.nodes[*it])).collect() });
                return;
            }
            Mark::New => {}
        }
        self.marks[at] = Mark::OnPath;
        path.push(at);
        let nodes = self.nodes;
        for need in nodes[at].needs.iter().flatten() {
            self.visit(*need, path);
        }
        path.pop();
        self.marks[at] = Mark::Done;
        self.order.push(at);
    }
}

/// For each singleton the shortest path to something that belongs to one scope.
fn captives<N: Display>(nodes: &[Node<N>]) -> Vec<Problem> {
    let singletons = (0..nodes.len()).filter(|it| nodes[*it].lifecycle == Lifecycle::Singleton);
    singletons.filter_map(|it| captive(nodes, it)).collect()
}

fn captive<N: Display>(nodes: &[Node<N>], singleton: usize) -> Option<Problem> {
    let mut paths = std::collections::VecDeque::from([vec![singleton]]);
    let mut seen = vec![false; nodes.len()];
    while let Some(path) = paths.pop_front() {
        let end = *path.last()?;
        let node = &nodes[end];
        let scoped = node.lifecycle == Lifecycle::Scoped;
        if scoped || node.takes_session {
            return Some(Problem::Captive {
                path: path.iter().map(|it| step(&nodes[*it])).collect(),
                session: !scoped,
            });
        }
        for need in node.needs.iter().flatten() {
            // Another singleton on the path has a shorter path of its own.
            if !seen[*need] && nodes[*need].lifecycle != Lifecycle::Singleton {
                seen[*need] = true;
                paths.push_back(path.iter().copied().chain([*need]).collect());
            }
        }
    }
    None
}

fn dependents<N>(nodes: &[Node<N>], order: &[usize]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    // Backwards, so that the dependents of a service are complete before the service itself.
    for at in order.iter().rev() {
        let mut of: Vec<usize> = all[*at].iter().flat_map(|it| all[*it].clone()).chain([*at]).collect();
        of.sort_unstable();
        of.dedup();
        all[*at] = of;
        for need in nodes[*at].needs.iter().flatten() {
            all[*need].push(*at);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &'static str, lifecycle: Lifecycle, needs: &[usize]) -> Node<&'static str> {
        let needs = needs.iter().map(|it| Ok(*it)).collect();
        Node { name, lifecycle, registered: Location::caller(), takes_session: false, needs }
    }

    use Lifecycle::{Scoped, Singleton, Transient};

    #[test]
    fn order_builds_what_is_needed_first_and_dependents_are_transitive() {
        let nodes = vec![node("a", Scoped, &[1, 2]), node("b", Singleton, &[2]), node("c", Singleton, &[])];
        let graph = Graph::check(nodes).expect("it fits together");
        assert_eq!(graph.order, [2, 1, 0]);
        assert_eq!(graph.dependents, [vec![0], vec![0, 1], vec![0, 1, 2]]);
    }

    #[test]
    fn captive_is_found_through_a_transient_and_named_with_its_whole_path() {
        let nodes =
            vec![node("mailer", Singleton, &[1]), node("formatter", Transient, &[2]), node("user", Scoped, &[])];
        let problems = Graph::check(nodes).expect_err("captive");
        let [Problem::Captive { path, session: false }] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(path.iter().map(|it| it.service.as_str()).collect::<Vec<_>>(), ["mailer", "formatter", "user"]);
    }

    #[test]
    fn captive_behind_another_singleton_is_told_once() {
        let nodes = vec![node("outer", Singleton, &[1]), node("inner", Singleton, &[2]), node("user", Scoped, &[])];
        assert_eq!(Graph::check(nodes).expect_err("captive").len(), 1);
    }

    #[test]
    fn cycle_is_named_from_its_first_service_back_to_it() {
        let nodes = vec![node("a", Transient, &[1]), node("b", Transient, &[2]), node("c", Transient, &[1])];
        let problems = Graph::check(nodes).expect_err("a cycle");
        let [Problem::Cycle { path }] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(path.iter().map(|it| it.service.as_str()).collect::<Vec<_>>(), ["b", "c", "b"]);
    }

    #[test]
    fn every_problem_is_told() {
        let mut lonely = node("lonely", Transient, &[]);
        lonely.needs = vec![Err("x"), Err("y")];
        let problems = Graph::check(vec![lonely, node("own", Scoped, &[1])]).expect_err("three");
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
