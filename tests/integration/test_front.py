"""The front itself: what passes it passes whole, and each fault is seen once."""

import os

import case
import s3client
from case import Case, only


@only("front")
class Front(Case):
    def client(self):
        return s3client.Client(self.store.front.url, self.store.bucket, self.store.access, self.store.secret)

    @case.short
    def test_bytes_and_faults(self):
        front, client = self.store.front, self.client()
        body, key = os.urandom(3 << 20), self.store.prefix + "a b/\u00e4"
        client.put(key, body)
        self.assertEqual(client.get(key), body)
        self.assertEqual([r.op for r in front.forget()], ["PutObject", "GetObject"])
        for action, error in (("500", s3client.S3Error), ("503", s3client.S3Error), ("reset", OSError), ("lost", OSError)):
            fault = front.fail(action, nth=2, op="PutObject")
            client.put(key, b"one")
            with self.assertRaises(error):
                client.put(key, action.encode())
            self.assertTrue(fault.happened.is_set())
            self.assertEqual(self.store.client.get(key), b"lost" if action == "lost" else b"one")
            client.put(key, b"three")
            self.assertEqual(client.get(key), b"three")
        front.vanish()
        with self.assertRaises(OSError):
            client.get(key)
        front.come_back()
        front.fail("slow")
        self.assertEqual(client.get(key), b"three")


@only("conditions")
class FrontConditions(Case):
    @case.short
    def test_as_aws(self):
        front, plain = self.store.front, self.store.client
        client = s3client.Client(front.url, plain.bucket, plain.access, plain.secret)
        key = self.store.prefix + "key"

        def complete(condition, body):
            answer = client.call("POST", key, {"uploads": ""}).decode()
            upload = answer.partition("<UploadId>")[2].partition("<")[0]
            part = client.answered("PUT", key, {"uploadId": upload, "partNumber": "1"}, body)[0].headers["ETag"]
            text = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag></Part></CompleteMultipartUpload>"
            try:
                client.call("POST", key, {"uploadId": upload}, (text % part).encode(), condition)
                return 200
            except s3client.S3Error as e:
                client.call("DELETE", key, {"uploadId": upload})
                return e.status

        self.assertEqual(complete({"if-match": '"no"'}, b"0"), 404)
        self.assertEqual(complete({"if-none-match": "*"}, b"1"), 200)
        self.assertEqual(complete({"if-none-match": "*"}, b"2"), 412)
        self.assertEqual(complete({"if-match": '"no"'}, b"3"), 412)
        etag = '"%s"' % plain.etag(key)
        self.assertEqual(complete({"if-match": etag}, b"4"), 200)
        with self.assertRaises(s3client.S3Error):
            client.call("PUT", key, body=b"5", headers={"if-match": etag})
        self.assertEqual(plain.get(key), b"4")
        client.call("PUT", key, body=b"6", headers={"if-match": '"%s"' % plain.etag(key)})
        self.assertEqual(plain.get(key), b"6")
