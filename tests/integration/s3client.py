"""The other client of the bucket: a few S3 calls with their own Signature V4, over the standard library only."""

import datetime
import hashlib
import hmac
import http.client
import urllib.parse
import xml.etree.ElementTree as ElementTree

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class S3Error(Exception):
    def __init__(self, status, body):
        super().__init__("HTTP %d: %s" % (status, body[:300].decode(errors="replace")))
        self.status = status


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Client:
    def __init__(self, endpoint, bucket, access, secret):
        self.host = urllib.parse.urlsplit(endpoint).netloc
        self.bucket, self.access, self.secret = bucket, access, secret

    def signed(self, method, key, query, digest, headers):
        """-> (target, headers with their signature); `digest`: the body's SHA-256 in hex."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = "/" + self.bucket + "/" + urllib.parse.quote(key, safe="/~")
        quote = lambda text: urllib.parse.quote(text, safe="~")
        query = "&".join(sorted("%s=%s" % (quote(k), quote(v)) for k, v in dict(query).items()))
        signed = dict(headers, **{"host": self.host, "x-amz-content-sha256": digest, "x-amz-date": now})
        names = ";".join(sorted(signed))
        canonical = "\n".join(
            [method, path, query] + ["%s:%s" % (k, signed[k]) for k in sorted(signed)] + ["", names, digest]
        )
        scope = now[:8] + "/us-east-1/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        token = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            token = _hmac(token, part)
        signature = hmac.new(token, text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s" % (
            self.access, scope, names, signature)
        return path + ("?" + query if query else ""), signed

    def answered(self, method, key="", query=(), body=b"", headers=()):
        """-> (answer, its body)"""
        target, signed = self.signed(method, key, query, hashlib.sha256(body).hexdigest(), headers)
        conn = http.client.HTTPConnection(self.host, timeout=120)
        try:
            conn.request(method, target, body, signed)
            answer = conn.getresponse()
            data = answer.read()
        finally:
            conn.close()
        if answer.status >= 300:
            raise S3Error(answer.status, data)
        return answer, data

    def call(self, method, key="", query=(), body=b"", headers=()):
        return self.answered(method, key, query, body, headers)[1]

    def make_bucket(self):
        self.call("PUT")

    def put(self, key, body):
        self.call("PUT", key, body=body)

    def get(self, key):
        return self.call("GET", key)

    def delete(self, key):
        self.call("DELETE", key)

    def etag(self, key):
        """None when there is no such object."""
        try:
            return self.answered("HEAD", key)[0].headers["ETag"].strip('"')
        except S3Error as e:
            if e.status != 404:
                raise
            return None

    def put_policy(self, text):
        self.call("PUT", query={"policy": ""}, body=text.encode())

    def _pages(self, query, after_names):
        while True:
            tree = ElementTree.fromstring(self.call("GET", query=query))
            yield tree
            if tree.findtext(NS + "IsTruncated") != "true":
                return
            for name, source in after_names.items():
                query[name] = tree.findtext(NS + source)

    def keys(self, prefix=""):
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
        found = []
        for page in self._pages(query, {"continuation-token": "NextContinuationToken"}):
            found += [urllib.parse.unquote_plus(e.findtext(NS + "Key")) for e in page.iter(NS + "Contents")]
        return found

    def uploads(self, prefix=""):
        query = {"uploads": "", "prefix": prefix}
        after = {"key-marker": "NextKeyMarker", "upload-id-marker": "NextUploadIdMarker"}
        found = []
        for page in self._pages(query, after):
            found += [e.findtext(NS + "Key") for e in page.iter(NS + "Upload")]
        return found
