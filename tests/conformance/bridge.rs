//! The other way in: `parley-xmpp bridge` as a child process, JSON-RPC over its pipes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Backend, Message, Page, Target};
use crate::program::{Running, program};
use crate::soon;
use crate::support::DOMAIN;

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Value>>>>;

/// A bridge and its one connection.
pub(crate) struct Bridge {
    running: Running,
    last_id: AtomicU64,
    waiting: Waiting,
    notifications: tokio::sync::Mutex<mpsc::UnboundedReceiver<Value>>,
}

impl Bridge {
    /// A bridge without a connection yet.
    pub(crate) fn start() -> Self {
        let waiting = Waiting::default();
        let (sender, notifications) = mpsc::unbounded_channel();
        let answers = Arc::clone(&waiting);
        let running = Running::start(program(&["bridge"]), move |line| {
            let object: Value = serde_json::from_str(line).expect(line);
            assert_eq!(object["jsonrpc"], "2.0", "{line}");
            match object["id"].as_u64() {
                Some(id) => {
                    let mut waiting = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    let waiter = waiting.remove(&id).expect("one answer to a request");
                    let _ = waiter.send(object);
                }
                None => {
                    let _ = sender.send(object);
                }
            }
        });
        Self {
            running,
            last_id: AtomicU64::new(0),
            waiting,
            notifications: notifications.into(),
        }
    }

    /// The result, or the error.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, answer) = oneshot::channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.running.write(&request.to_string());
        let mut answer = soon(method, answer).await.expect("an answer");
        match answer["error"].take() {
            Value::Null => Ok(answer["result"].take()),
            error => Err(error),
        }
    }

    async fn done(&self, method: &str, params: Value) -> Value {
        match self.request(method, params).await {
            Ok(result) => result,
            Err(error) => panic!("{method}: {error}"),
        }
    }

    /// Ends it in good order, connected or not.
    pub(crate) async fn finish(self) {
        self.running.finish().await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn message(object: &Value) -> Message {
    let mentions = object["mentions"].as_array().expect("an array");
    let mut whole = object.clone();
    let fields = whole.as_object_mut().expect("an object");
    for informational in ["timestamp", "source"] {
        let value = fields.remove(informational).expect(informational);
        assert!(value.is_string(), "{object}");
    }
    Message {
        topic: text(&object["topic"]),
        sender: text(&object["senderHandle"]),
        content: text(&object["content"]),
        id: text(&object["backendMsgId"]),
        cursor: text(&object["cursor"]),
        mentions: mentions.iter().map(text).collect(),
        whole: whole.to_string(),
    }
}

impl Backend for Bridge {
    const NAME: &'static str = "bridge";

    async fn connect(target: &Target, user: &str) -> Self {
        let bridge = Self::start();
        let params = json!({
            "service": target.service(),
            "domain": DOMAIN,
            "username": user,
            "password": format!("secret-{user}"),
            "ca_file": target.ca_file(),
        });
        let result = bridge.done("connect", params).await;
        let account = format!("{user}@{DOMAIN}/");
        assert!(text(&result["jid"]).starts_with(&account), "{result}");
        bridge
    }

    async fn post(&self, topic: &str, content: &str) -> String {
        let params = json!({ "topic": topic, "content": content });
        let result = self.done("post", params).await;
        assert_eq!(result["backendMsgId"], result["cursor"]);
        text(&result["backendMsgId"])
    }

    async fn fetch(&self, topic: &str, since: Option<&str>, limit: u32, block_ms: u64) -> Page {
        let mut params = json!({ "topic": topic, "limit": limit });
        if let Some(since) = since {
            params["since"] = since.into();
            params["blockMs"] = block_ms.into();
        }
        let result = self.done("fetchRecent", params).await;
        let messages = result["messages"].as_array().expect("an array");
        Page {
            messages: messages.iter().map(message).collect(),
            next: text(&result["nextCursor"]),
            complete: result["complete"].as_bool().expect("a boolean"),
        }
    }

    async fn subscribe(&self, topic: &str, since: Option<&str>) {
        let mut params = json!({ "topic": topic });
        if let Some(since) = since {
            params["since"] = since.into();
        }
        self.done("subscribe", params).await;
    }

    async fn pushed(&self) -> Message {
        let mut notifications = self.notifications.lock().await;
        loop {
            let mut next = soon("a notification", notifications.recv())
                .await
                .expect("a notification");
            match next["method"].as_str() {
                Some("message") => break message(&next["params"].take()),
                Some("state" | "room") => {}
                _ => panic!("{next}"),
            }
        }
    }

    async fn close(self) {
        self.done("disconnect", json!({})).await;
        self.finish().await;
    }
}
