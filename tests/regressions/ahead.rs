//! A comparison that reads ahead, against an archive that shows things and takes them back.

use super::memory::{World, is_message};
use crate::peer::message;
use crate::*;
use proptest::prelude::*;

/// So many questions without a pause are too many for archives of some sixty items.
const MOST: usize = 2000;

/// Answers all that is asked; after each answer the archive shows an item, or takes it back.
fn serve(world: &mut World, flips: &mut impl Iterator<Item = usize>) {
    for _ in 0..MOST {
        let sent = world.peer.heard();
        world.take();
        if requests(&sent).is_empty() {
            world.peer.kept = sent;
            return;
        }
        world.answer(&sent);
        let flip = flips.next().unwrap_or(usize::MAX);
        if let Some(item) = world.items.get_mut(flip) {
            item.shown = !item.shown;
        }
    }
    panic!("it is asked for ever: {:?}", world.told);
}

#[derive(Clone, Debug)]
enum Step {
    Said(usize, bool),
    Unheard(usize, bool),
    Turn,
    Takes,
    Away(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_usize, any::<bool>()).prop_map(|(n, shown)| Step::Said(n, shown)),
        2 => (1..12_usize, any::<bool>()).prop_map(|(n, shown)| Step::Unheard(n, shown)),
        6 => Just(Step::Turn),
        3 => Just(Step::Takes),
        1 => (0..20_usize).prop_map(Step::Away),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(60, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        max_shrink_iters: 1000,
        ..ProptestConfig::default()
    })]

    /// Neither is it asked for ever without a pause, nor is it never asked again.
    #[test]
    fn an_archive_that_takes_back_what_it_showed_is_asked_now_and_then_and_read_in_the_end(
        steps in proptest::collection::vec(step(), 1..30),
        flips in proptest::collection::vec(0..200_usize, 1..20),
        page in 1..6_u32,
        held in 1..12_usize,
        window in 1..60_u32,
    ) {
        let mut config = config();
        config.limits.remembered_ids = 32;
        config.limits.page = page;
        config.limits.held_messages = held;
        let mut world = World::new(config);
        world.read(window);
        let flips = &mut flips.into_iter().cycle();
        let mut taken = 0;
        let takes = |world: &mut World, taken: &mut usize| {
            let told = world.told.iter().filter(|told| is_message(told)).count();
            let unread = told - core::mem::replace(taken, told);
            if let Some(id) = world.subscription {
                world.peer.engine.grant(world.peer.now, id, u32::try_from(unread).unwrap());
            }
        };
        for step in steps {
            match step {
                Step::Said(n, shown) => (0..n).for_each(|_| {
                    world.store(true, shown);
                    let id = world.items.last().unwrap().id.clone();
                    world.peer.say(&message("bob", &id, &id));
                }),
                Step::Unheard(n, shown) => (0..n).for_each(|_| world.store(true, shown)),
                Step::Turn if world.peer.engine.wants().deadline.is_some() => {
                    turn(&mut world.peer);
                }
                Step::Turn => {}
                Step::Takes => takes(&mut world, &mut taken),
                Step::Away(n) => {
                    world.show();
                    world.away(|world| (0..n).for_each(|_| world.store(true, true)));
                }
            }
            serve(&mut world, flips);
        }
        // The archive is good from now on.
        for _ in 0..200 {
            world.show();
            world.pass(secs(700));
            takes(&mut world, &mut taken);
        }
        world.say(true);
        world.pass(secs(700));
        let last = world.items.last().unwrap().id.clone();
        prop_assert!(world.told.contains(&last), "{last}: {:?}", world.told);
    }
}

/// A comparison looks ahead, and the place that it goes back to is gone each time; which is there
/// again as soon as it is begun anew.
#[test]
fn a_place_that_is_gone_each_time_is_not_asked_for_without_a_pause() {
    let mut config = config();
    config.limits.remembered_ids = 32;
    config.limits.page = 1;
    config.limits.held_messages = 20;
    let mut world = World::new(config);
    world.read(1000);
    world.store(true, true);
    for number in 2..30 {
        world.store(true, number < 4);
        let id = format!("m{number}");
        world.peer.say(&message("bob", &id, &id));
    }
    // The comparison that much was heard for.
    turn(&mut world.peer);
    let mut looks = 0;
    for _ in 0..MOST {
        let sent = world.peer.heard();
        world.take();
        if requests(&sent).is_empty() {
            world.peer.kept = sent;
            break;
        }
        world.answer(&sent);
        let looked = sent.contains("<after>m1</after>");
        looks += usize::from(looked);
        let answered = sent.contains("<before>m0</before>");
        world.items[0].shown = (world.items[0].shown || answered) && !looked;
    }
    assert!((1..10).contains(&looks), "{looks} {:?}", world.told);
    world.show();
    world.pass(secs(4000));
    assert_eq!(world.not_once(), [], "{:?}", world.told);
}
