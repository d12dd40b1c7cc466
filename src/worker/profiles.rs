//! The Durable Object of one database. It moves bytes between the runtime and [`DatabaseObject`], which
//! decides.

use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use web_sys::{Request, Response};
use worker::{Env, State, worker_sys::DurableObjectState};

use super::{
    isolate,
    object::{ObjectSql, set_alarm},
    ports::now,
    response::{self, RuntimeBody},
    runtime, telemetry,
};
use crate::{
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
        let body = async { runtime::bytes(request.array_buffer()).await.map_err(Cause::new) };
        let DatabaseResponse { status, body } = self.object.fetch(length.as_deref(), body).await;
        let headers = [(LENGTH_HEADER, body.len().to_string())];
        Ok(response::new(status, &headers, RuntimeBody::Bytes(body))?)
    }

    pub async fn alarm(&self) -> Result<(), JsValue> {
        self.object.alarm().await.map_err(runtime::thrown)
    }
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
