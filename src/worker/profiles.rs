//! The Durable Object of one database. It moves bytes between the runtime and [`DatabaseObject`], which
//! decides.

use js_sys::Uint8Array;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::{Request, Response};
use worker::{Env, State, worker_sys::DurableObjectState};

use super::{
    isolate,
    object::{MessageBody, ObjectSql, set_alarm},
    ports::now,
    response::{self, RuntimeBody},
    runtime, telemetry,
};
use crate::{
    limits::CALL_MESSAGE,
    problem::Cause,
    profiles::live::{
        message::LENGTH_HEADER,
        object::{DatabaseHost, DatabaseObject, DatabaseResponse},
    },
};

/// The class for the runtime, made like [`CampaignObject`](super::object::CampaignObject).
#[wasm_bindgen]
pub struct ProfilesObject {
    object: DatabaseObject<ObjectSql, ProfilesHost>,
}

#[wasm_bindgen]
impl ProfilesObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let budget = isolate::object_settings(&env).map(|settings| settings.budget);
        let sql = ObjectSql::new(&state);
        Self { object: DatabaseObject::new(sql, ProfilesHost { state }, budget) }
    }

    pub async fn fetch(&self, request: Request) -> Result<Response, JsValue> {
        let length = request.headers().get(LENGTH_HEADER)?;
        let body: MessageBody<'_> =
            Box::pin(async { runtime::bytes(request.array_buffer()).await.map_err(Cause::new) });
        Ok(into_response(self.object.fetch(length.as_deref(), body).await)?)
    }

    /// Answers a message: with bytes if it succeeds and they are few, or with the response of [`Self::fetch`].
    pub async fn answer(&self, message: Uint8Array) -> Result<JsValue, JsValue> {
        let length = message.length().to_string();
        let body: MessageBody<'_> = Box::pin(async { Ok(message.to_vec()) });
        match self.object.fetch(Some(&length), body).await {
            DatabaseResponse { status: 200, body } if body.len() <= CALL_MESSAGE => {
                Ok(Uint8Array::from(body.as_slice()).into())
            }
            response => Ok(into_response(response)?.into()),
        }
    }

    pub async fn alarm(&self) -> Result<(), JsValue> {
        self.object.alarm().await.map_err(runtime::thrown)
    }
}

fn into_response(DatabaseResponse { status, body }: DatabaseResponse) -> worker::Result<Response> {
    let headers = [(LENGTH_HEADER, body.len().to_string())];
    response::new(status, &headers, RuntimeBody::Bytes(body))
}

/// The runtime of one object.
struct ProfilesHost {
    state: State,
}

impl DatabaseHost for ProfilesHost {
    fn now(&self) -> u64 {
        now()
    }

    async fn set_alarm(&self, at: u64) -> Result<(), Cause> {
        set_alarm(&self.state, Some(at)).await
    }

    fn report(&self, failure: &str, cause: &Cause) {
        telemetry::failure(None, failure, cause);
    }
}
