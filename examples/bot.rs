//! A bot that answers questions in a room, and goes on where it stood.
//!
//! `cargo run --features tokio --example bot -- xmpp://127.0.0.1:5222 parley.local parley SECRET ops`

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a program of the std world"
)]

use std::error::Error;

use parley_xmpp::tokio::{Client, Settings};
use parley_xmpp::{Entry, Post, Start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [service, domain, username, password, topic] = arguments.as_slice() else {
        return Err("usage: bot SERVICE DOMAIN USERNAME PASSWORD TOPIC".into());
    };
    let client = Client::connect(Settings::new(service, domain, username, password)?).await?;
    let room = client.room(topic).await?;
    let mut entries = room.subscribe(Start::Now).await?;
    println!("in {} as {}", room.jid(), room.nick());
    while let Some(entry) = entries.next().await {
        match entry {
            Entry::Message(message) if !message.own && message.body.ends_with('?') => {
                let mut answer = Post::new("I have no idea.");
                if let Some(id) = &message.id {
                    answer = answer.in_reply_to(id.as_str());
                }
                let posted = room.send(answer).await?;
                println!("answered {:?} with {:?}", message.body, posted.id);
            }
            Entry::Gap { after, reason } => {
                println!("missed something after {after:?}: {reason:?}")
            }
            _ => {}
        }
    }
    Ok(())
}
