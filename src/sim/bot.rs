//! A program over an engine, as a state machine: what a user simulates.

use super::world::Hands;
use crate::Event;
use crate::sim::plan::Order;

/// A program over an [`Engine`](crate::Engine).
///
/// It has no clock and no socket; it is called when something happens and acts
/// through [`Hands`]. What it wants to remember beyond its process it
/// [`keep`](Hands::keep)s.
pub trait Bot {
    /// The process has just started, for the first time or again; the engine is new.
    fn started(&mut self, hands: &mut Hands<'_>);

    /// The engine tells something.
    fn told(&mut self, hands: &mut Hands<'_>, event: Event);

    /// The plan wants something done.
    fn ordered(&mut self, hands: &mut Hands<'_>, order: &Order) {
        let _ = (hands, order);
    }

    /// The time asked for with [`Hands::wake_after`] has come.
    fn woken(&mut self, hands: &mut Hands<'_>) {
        let _ = hands;
    }
}
