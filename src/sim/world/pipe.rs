//! One direction of a link: bytes that are under way, in order, in packets.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;
use crate::sim::plan::Weather;
use crate::sim::random::Random;

/// So many bytes can be under way or wait to be read; then the writer waits, as
/// with a TCP window.
const WINDOW: usize = 64 * 1024;

/// Bytes on their way from one end of a link to the other.
#[derive(Debug)]
pub(super) struct Pipe {
    random: Random,
    /// What is under way, from `head` on.
    data: Vec<u8>,
    head: usize,
    /// When which part of it arrives.
    packets: VecDeque<Packet>,
    /// When the line is free again, with a bounded bandwidth.
    line_free: Instant,
    /// When the last packet arrives: none overtakes another.
    last_arrival: Instant,
    /// When the end arrives, if there is one.
    end: Option<Instant>,
    /// What is written arrives no more, and fills the window.
    mute: bool,
    /// How much of the window it fills.
    lost: usize,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    at: Instant,
    bytes: usize,
}

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// So many bytes, at the head of [`Pipe::head`].
    Bytes(usize),
    /// The end.
    End,
}

impl Pipe {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            data: Vec::new(),
            head: 0,
            packets: VecDeque::new(),
            line_free: Instant::ZERO,
            last_arrival: Instant::ZERO,
            end: None,
            mute: false,
            lost: 0,
        }
    }

    /// How many bytes the writer can hand over.
    pub(super) fn room(&self) -> usize {
        let under_way = self.data.len().saturating_sub(self.head);
        WINDOW.saturating_sub(under_way.saturating_add(self.lost))
    }

    /// Sends bytes on their way; no more than there is [`room`](Self::room) for.
    pub(super) fn write(&mut self, now: Instant, bytes: &[u8], weather: &Weather) -> usize {
        let taken = bytes.len().min(self.room());
        let Some(bytes) = bytes.get(..taken) else {
            return 0;
        };
        if self.end.is_some() {
            // Written after its own end: nobody hears it.
            return taken;
        }
        if self.mute {
            self.lost = self.lost.saturating_add(taken);
            return taken;
        }
        self.data.extend_from_slice(bytes);
        let mut rest = taken;
        while rest > 0 {
            let packet = self.packet_size(weather).min(rest);
            let at = self.arrival(now, packet, weather);
            self.packets.push_back(Packet { at, bytes: packet });
            rest = rest.saturating_sub(packet);
        }
        taken
    }

    /// Half of the packets are full, the others of any size.
    fn packet_size(&mut self, weather: &Weather) -> usize {
        let most = u64::from(weather.packet.max(1));
        let size = if self.random.one_in(2) {
            most
        } else {
            self.random.between(1, most)
        };
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    fn arrival(&mut self, now: Instant, bytes: usize, weather: &Weather) -> Instant {
        let start = now.max(self.line_free);
        if let Some(rate) = weather.bandwidth {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            let micros = bytes.saturating_mul(1_000_000) / u64::from(rate.max(1));
            self.line_free = start.plus(Duration::from_micros(micros));
        } else {
            self.line_free = start;
        }
        let jitter = self.random.duration(weather.jitter);
        let at = self.line_free.plus(weather.latency).plus(jitter);
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// The writer ends: what it wrote arrives, then the end.
    pub(super) fn finish(&mut self, now: Instant, weather: &Weather) {
        if self.end.is_none() && !self.mute {
            self.end = Some(self.arrival(now, 0, weather));
        }
    }

    /// What is under way is lost, and the end arrives now.
    pub(super) fn break_off(&mut self, now: Instant) {
        self.silence();
        self.end = Some(now);
    }

    /// When something arrives next, if nothing holds it up.
    pub(super) fn next(&self) -> Option<Instant> {
        self.packets.front().map(|packet| packet.at).or(self.end)
    }

    /// What is there by `now`: the next packet, or the end.
    pub(super) fn arrived(&self, now: Instant) -> Option<Arrival> {
        if self.next()? > now {
            return None;
        }
        Some(match self.packets.front() {
            Some(packet) => Arrival::Bytes(packet.bytes),
            None => Arrival::End,
        })
    }

    /// The first `bytes` of what is under way.
    pub(super) fn head(&self, bytes: usize) -> &[u8] {
        let end = self.head.saturating_add(bytes);
        self.data.get(self.head..end).unwrap_or_default()
    }

    /// The reader took so many bytes of the first packet.
    pub(super) fn take(&mut self, bytes: usize) {
        self.head = self.head.saturating_add(bytes).min(self.data.len());
        if self.head == self.data.len() {
            self.data.clear();
            self.head = 0;
        } else if self.head > WINDOW {
            self.data.drain(..self.head);
            self.head = 0;
        }
        if let Some(packet) = self.packets.front_mut() {
            packet.bytes = packet.bytes.saturating_sub(bytes);
            if packet.bytes == 0 {
                self.packets.pop_front();
            }
        }
    }

    /// The reader took note of the end.
    pub(super) fn take_end(&mut self) {
        self.silence();
    }

    /// Nothing arrives any more; what is written fills the window and stays.
    pub(super) fn silence(&mut self) {
        let under_way = self.data.len().saturating_sub(self.head);
        self.lost = self.lost.saturating_add(under_way);
        self.data.clear();
        self.head = 0;
        self.packets.clear();
        self.end = None;
        self.mute = true;
    }

    /// What is under way arrives at `at`, all at once, and nothing after it.
    pub(super) fn linger(&mut self, at: Instant) {
        for packet in &mut self.packets {
            packet.at = at;
        }
        self.end = None;
        self.mute = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather() -> Weather {
        Weather {
            latency: Duration::from_millis(5),
            jitter: Duration::from_millis(20),
            packet: 7,
            bandwidth: Some(1000),
        }
    }

    /// Reads all that arrives, with its time.
    fn drain(pipe: &mut Pipe) -> (Vec<u8>, Vec<Instant>) {
        let (mut bytes, mut times) = (Vec::new(), Vec::new());
        while let Some(at) = pipe.next() {
            times.push(at);
            match pipe.arrived(at) {
                Some(Arrival::Bytes(n)) => {
                    bytes.extend_from_slice(pipe.head(n));
                    pipe.take(n);
                }
                Some(Arrival::End) => pipe.take_end(),
                None => panic!("what is due has arrived"),
            }
        }
        (bytes, times)
    }

    #[test]
    fn bytes_keep_their_order_and_none_is_lost() {
        let mut pipe = Pipe::new(Random::stream(1, "test"));
        let sent: Vec<u8> = (0..=255).collect();
        assert_eq!(pipe.write(Instant::ZERO, &sent[..100], &weather()), 100);
        assert_eq!(
            pipe.write(Instant::from_millis(1), &sent[100..], &weather()),
            156
        );
        pipe.finish(Instant::from_millis(1), &weather());
        let (bytes, times) = drain(&mut pipe);
        assert_eq!(bytes, sent);
        assert!(times.is_sorted());
        // A thousand bytes a second: a quarter of a second for all, and the latency.
        assert!(*times.last().unwrap() >= Instant::from_millis(256 + 5));
    }

    #[test]
    fn a_full_window_takes_no_more_and_a_silent_pipe_gives_nothing() {
        let mut pipe = Pipe::new(Random::stream(1, "test"));
        let calm = Weather {
            bandwidth: None,
            ..weather()
        };
        assert_eq!(pipe.write(Instant::ZERO, &[0; WINDOW + 1], &calm), WINDOW);
        assert_eq!(pipe.room(), 0);
        pipe.silence();
        assert_eq!(pipe.next(), None);
        assert_eq!(pipe.room(), 0);
    }
}
