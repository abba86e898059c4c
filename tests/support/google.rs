//! Google's object store, simulated: its XML API with generations and preconditions, as its documentation says
//! (<https://cloud.google.com/storage/docs/xml-api/overview>), since no emulator that can be installed knows them
//! there. It refuses what Google refuses: a login that is not signed by the service account, a precondition that does
//! not hold, a part that is too small, a range behind the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, Response};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use sha2::Digest as _;

use super::signing;

/// The service account that may do everything.
pub(crate) const ACCOUNT: &str = "tributary@project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Every part but the last has at least so many bytes.
const LEAST_PART: usize = 5 << 20;
/// A page of a listing has no more keys, whatever is asked for.
const MOST_KEYS: usize = 1000;

/// Its port, and what can be done without a request.
pub(crate) struct Google {
    pub(crate) port: u16,
    buckets: Buckets,
}

type Buckets = Arc<Mutex<BTreeMap<String, Bucket>>>;
type Answer = Result<Response<Body>, Refused>;

/// A status and the code beside it.
struct Refused(u16, &'static str);

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    /// The last generation given.
    generation: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Vec<u8>,
    generation: u64,
    modified: chrono::DateTime<chrono::Utc>,
    e_tag: String,
}

struct Upload {
    key: String,
    parts: BTreeMap<usize, (String, Vec<u8>)>,
}

/// The one of this test run.
pub(crate) fn google() -> &'static Google {
    static ONE: OnceLock<Google> = OnceLock::new();
    ONE.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let buckets = Buckets::default();
        let app = axum::Router::new().fallback(handle).with_state(buckets.clone());
        // A runtime of its own: it outlives the test that happens to start it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
            });
        });
        Google { port, buckets }
    })
}

impl Google {
    pub(crate) fn make(&self, bucket: &str) {
        self.buckets.lock().unwrap().insert(bucket.into(), Bucket::default());
    }
}

/// The service account's key file, for a store at `endpoint`.
pub(crate) fn key_file(endpoint: &str) -> String {
    serde_json::json!({
        "type": "service_account",
        "client_email": ACCOUNT,
        "private_key_id": "1",
        "private_key": signing::PRIVATE_KEY,
        "gcs_base_url": endpoint,
    })
    .to_string()
}

/// What is asked, taken apart.
struct Asked {
    method: Method,
    key: String,
    query: BTreeMap<String, String>,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

async fn handle(State(buckets): State<Buckets>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let has_length = parts.headers.contains_key("content-length");
    let body = axum::body::to_bytes(body, 1 << 30).await.unwrap().to_vec();
    let decoded = |text: &str| {
        let pairs = format!("x={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(pairs.as_bytes()).next().map_or_else(String::new, |(_, text)| text.into())
    };
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let query = url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let query = query.into_owned().collect();
    let asked = Asked { method: parts.method, key: decoded(key), query, headers: parts.headers, body };
    let mut buckets = buckets.lock().unwrap();
    let answer = allowed(&asked).and_then(|()| {
        if matches!(asked.method, Method::PUT | Method::POST) && !has_length {
            return Err(Refused(411, "MissingContentLength"));
        }
        let bucket = buckets.get_mut(&decoded(bucket)).ok_or(Refused(404, "NoSuchBucket"))?;
        bucket.answer(&asked)
    });
    let mut answer = answer.unwrap_or_else(|refused| refused.answer());
    if asked.method == Method::HEAD && !answer.status().is_success() {
        *answer.body_mut() = Body::empty();
    }
    answer
}

/// Whether the service account signed the login, and it is still good.
fn allowed(asked: &Asked) -> Result<(), Refused> {
    let is_good = || {
        let (signed, signature) = asked.header("authorization")?.strip_prefix("Bearer ")?.rsplit_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, signing::public_key());
        key.verify(signed.as_bytes(), &signature).ok()?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        let now = tributary::model::now_micros() / 1_000_000;
        let (from, until) = (claims["iat"].as_i64()?, claims["exp"].as_i64()?);
        (claims["iss"] == ACCOUNT && claims["sub"] == ACCOUNT && claims["scope"] == SCOPE)
            .then_some(from <= now + 60 && now < until && until <= from + 3600)
    };
    is_good().filter(|is_good| *is_good).map(|_| ()).ok_or(Refused(401, "AuthenticationRequired"))
}

impl Bucket {
    fn answer(&mut self, asked: &Asked) -> Answer {
        let upload = asked.parameter("uploadId");
        match (asked.method.as_str(), asked.key.is_empty()) {
            ("GET", true) => self.list(asked),
            (_, true) => Err(Refused(405, "MethodNotAllowed")),
            ("GET" | "HEAD", _) => self.get(asked),
            ("PUT", _) if upload.is_some() => self.part(asked),
            ("PUT", _) if asked.header("x-goog-copy-source").is_some() => self.copy(asked),
            ("PUT", _) => {
                self.expect_generation(asked)?;
                Ok(self.put(&asked.key, asked.body.clone(), None).body(Body::empty()).unwrap())
            }
            ("POST", _) if asked.parameter("uploads").is_some() => self.initiate(asked),
            ("POST", _) if upload.is_some() => self.complete(asked),
            ("DELETE", _) if upload.is_some() => {
                self.upload(asked)?;
                self.uploads.remove(upload.unwrap_or_default());
                Ok(Response::builder().status(204).body(Body::empty()).unwrap())
            }
            ("DELETE", _) => {
                self.expect_generation(asked)?;
                self.objects.remove(&asked.key).ok_or(Refused(404, "NoSuchKey"))?;
                Ok(Response::builder().status(204).body(Body::empty()).unwrap())
            }
            _ => Err(Refused(405, "MethodNotAllowed")),
        }
    }

    /// A generation of 0 stands for an object that is not there.
    fn expect_generation(&self, asked: &Asked) -> Result<(), Refused> {
        let Some(expected) = asked.header("x-goog-if-generation-match") else { return Ok(()) };
        let expected: u64 = expected.parse().map_err(|_| Refused(400, "InvalidArgument"))?;
        match self.objects.get(&asked.key).map_or(0, |object| object.generation) == expected {
            true => Ok(()),
            false => Err(Refused(412, "PreconditionFailed")),
        }
    }

    fn put(&mut self, key: &str, bytes: Vec<u8>, e_tag: Option<String>) -> axum::http::response::Builder {
        // Generations are microseconds there, and grow with every write.
        let now = tributary::model::now_micros();
        self.generation = (self.generation + 1).max(now as u64);
        let e_tag = e_tag.unwrap_or_else(|| digest(&bytes));
        let modified = chrono::DateTime::from_timestamp_micros(now).unwrap();
        let object = Object { bytes, generation: self.generation, modified, e_tag };
        let builder = headers(&object);
        self.objects.insert(key.into(), object);
        builder
    }

    fn get(&self, asked: &Asked) -> Answer {
        let object = self.objects.get(&asked.key).ok_or(Refused(404, "NoSuchKey"))?;
        if asked.parameter("generation").is_some_and(|wanted| wanted != object.generation.to_string()) {
            return Err(Refused(404, "NoSuchKey"));
        }
        if asked.header("if-match").is_some_and(|tag| tag != object.e_tag) {
            return Err(Refused(412, "PreconditionFailed"));
        }
        if asked.header("if-none-match").is_some_and(|tag| tag == object.e_tag) {
            return Ok(headers(object).status(304).body(Body::empty()).unwrap());
        }
        let size = object.bytes.len();
        let answer = headers(object).header("content-type", "application/octet-stream");
        if asked.method == Method::HEAD {
            return Ok(answer.header("content-length", size).body(Body::empty()).unwrap());
        }
        let Some(range) = asked.header("range").and_then(|range| range.strip_prefix("bytes=")) else {
            return Ok(answer.body(object.bytes.clone().into()).unwrap());
        };
        let (start, end) = match range.split_once('-').unwrap_or((range, "")) {
            ("", last) => (size.saturating_sub(last.parse().unwrap()), size),
            (first, "") => (first.parse().unwrap(), size),
            (first, last) => (first.parse().unwrap(), size.min(last.parse::<usize>().unwrap() + 1)),
        };
        if start >= end {
            return Err(Refused(416, "InvalidRange"));
        }
        let range = format!("bytes {start}-{}/{size}", end - 1);
        let bytes = object.bytes[start..end].to_vec();
        Ok(answer.status(206).header("content-range", range).body(bytes.into()).unwrap())
    }

    fn copy(&mut self, asked: &Asked) -> Answer {
        self.expect_generation(asked)?;
        let source = asked.header("x-goog-copy-source").unwrap_or_default();
        let source: String = url::form_urlencoded::parse(format!("x={source}").as_bytes())
            .next()
            .map_or_else(String::new, |(_, source)| source.into());
        let (_, key) = source.split_once('/').ok_or(Refused(400, "InvalidArgument"))?;
        let from = self.objects.get(key).cloned().ok_or(Refused(404, "NoSuchKey"))?;
        let answer = self.put(&asked.key, from.bytes, Some(from.e_tag.clone()));
        xml(answer, &format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", from.e_tag))
    }

    fn list(&self, asked: &Asked) -> Answer {
        if asked.parameter("list-type") != Some("2") {
            return Err(Refused(400, "InvalidArgument"));
        }
        let prefix = asked.parameter("prefix").unwrap_or_default();
        let delimiter = asked.parameter("delimiter").filter(|text| !text.is_empty());
        let after =
            asked.parameter("continuation-token").or(asked.parameter("start-after")).unwrap_or_default();
        let most = asked.parameter("max-keys").map_or(MOST_KEYS, |most| most.parse().unwrap()).min(MOST_KEYS);
        let (mut found, mut count, mut last, mut next) = (String::new(), 0, String::new(), None);
        for (key, object) in &self.objects {
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let folder = delimiter.and_then(|delimiter| rest.split_once(delimiter).zip(Some(delimiter)));
            let name = match folder {
                Some(((folder, _), delimiter)) => format!("{prefix}{folder}{delimiter}"),
                None => key.clone(),
            };
            if name.as_str() <= after || name == last {
                continue;
            }
            if count == most {
                next = Some(last);
                break;
            }
            count += 1;
            found += &match folder {
                Some(_) => format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(&name)),
                None => format!(
                    "<Contents><Key>{}</Key><Generation>{}</Generation><LastModified>{}</LastModified>\
                     <ETag>{}</ETag><Size>{}</Size></Contents>",
                    escaped(key),
                    object.generation,
                    object.modified.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
                    object.e_tag,
                    object.bytes.len(),
                ),
            };
            last = name;
        }
        let is_truncated = next.is_some();
        let next =
            next.map(|next| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&next)));
        let head = format!("<KeyCount>{count}</KeyCount><IsTruncated>{is_truncated}</IsTruncated>");
        let next = next.unwrap_or_default();
        xml(Response::builder(), &format!("<ListBucketResult>{head}{next}{found}</ListBucketResult>"))
    }

    fn initiate(&mut self, asked: &Asked) -> Answer {
        let id = uuid::Uuid::now_v7().to_string();
        self.uploads.insert(id.clone(), Upload { key: asked.key.clone(), parts: BTreeMap::new() });
        let id = format!("<UploadId>{id}</UploadId>");
        xml(
            Response::builder(),
            &format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"),
        )
    }

    fn upload(&mut self, asked: &Asked) -> Result<&mut Upload, Refused> {
        let upload = self.uploads.get_mut(asked.parameter("uploadId").unwrap_or_default());
        upload.filter(|upload| upload.key == asked.key).ok_or(Refused(404, "NoSuchUpload"))
    }

    fn part(&mut self, asked: &Asked) -> Answer {
        let number = asked.parameter("partNumber").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=10_000).contains(number));
        let number = number.ok_or(Refused(400, "InvalidArgument"))?;
        let e_tag = digest(&asked.body);
        self.upload(asked)?.parts.insert(number, (e_tag.clone(), asked.body.clone()));
        Ok(Response::builder().header("etag", e_tag).body(Body::empty()).unwrap())
    }

    fn complete(&mut self, asked: &Asked) -> Answer {
        let text = String::from_utf8_lossy(&asked.body).into_owned();
        let inside = |text: &str, tag: &str| {
            let (_, rest) = text.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once(&format!("</{tag}>"))?.0.to_string())
        };
        let upload = self.upload(asked)?;
        let (mut bytes, mut before, mut smallest) = (Vec::new(), 0, usize::MAX);
        let named: Vec<&str> = text.split("<Part>").skip(1).collect();
        for part in &named {
            let number: usize =
                inside(part, "PartNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
            let tag = inside(part, "ETag").unwrap_or_default().replace("&quot;", "\"");
            let Some((_, part)) = upload.parts.get(&number).filter(|(known, _)| *known == tag) else {
                return Err(Refused(400, "InvalidPart"));
            };
            if number <= before {
                return Err(Refused(400, "InvalidPartOrder"));
            }
            if smallest < LEAST_PART {
                return Err(Refused(400, "EntityTooSmall"));
            }
            (before, smallest) = (number, part.len());
            bytes.extend_from_slice(part);
        }
        if named.is_empty() {
            return Err(Refused(400, "MalformedCompleteMultipartUploadRequest"));
        }
        self.uploads.remove(asked.parameter("uploadId").unwrap_or_default());
        let e_tag = format!("\"{}-{}\"", digest(&bytes).trim_matches('"'), named.len());
        let answer = self.put(&asked.key, bytes, Some(e_tag.clone()));
        let e_tag = format!("<ETag>{e_tag}</ETag>");
        xml(answer, &format!("<CompleteMultipartUploadResult>{e_tag}</CompleteMultipartUploadResult>"))
    }
}

fn headers(object: &Object) -> axum::http::response::Builder {
    Response::builder()
        .header("etag", &object.e_tag)
        .header("x-goog-generation", object.generation)
        .header("x-goog-metageneration", 1)
        .header("last-modified", object.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// An entity tag, which clients must not read anything into.
fn digest(bytes: &[u8]) -> String {
    format!("\"{}\"", BASE64_STANDARD.encode(sha2::Sha256::digest(bytes)).replace(['/', '+', '='], "0"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn xml(answer: axum::http::response::Builder, body: &str) -> Answer {
    let body = format!("<?xml version='1.0' encoding='UTF-8'?>{body}");
    Ok(answer.header("content-type", "application/xml; charset=UTF-8").body(body.into()).unwrap())
}

impl Refused {
    fn answer(self) -> Response<Body> {
        let Refused(status, code) = self;
        let body = format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>");
        let answer = Response::builder().status(status).header("content-type", "application/xml");
        answer.body(body.into()).unwrap()
    }
}
