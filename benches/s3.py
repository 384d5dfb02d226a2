"""s3.py upload BUCKET KEY | make BUCKET | measure BUCKET | remove BUCKET: for the bed's Python, which has boto3.

`upload` sends what it reads, in parts, several at once: what a careful script does with a dump. `measure` prints bytes and
number of objects. The store is the one of AWS_ENDPOINT_URL.
"""

import sys

import boto3
from boto3.s3.transfer import TransferConfig


def upload(store, bucket, key):
    store.upload_fileobj(sys.stdin.buffer, bucket, key, Config=TransferConfig(multipart_chunksize=16 << 20, max_concurrency=4))


def make(store, bucket):
    store.create_bucket(Bucket=bucket)


def measure(store, bucket):
    sizes = [item["Size"] for item in objects(store, bucket)]
    print(sum(sizes), len(sizes))


def remove(store, bucket):
    for item in objects(store, bucket):
        store.delete_object(Bucket=bucket, Key=item["Key"])
    store.delete_bucket(Bucket=bucket)


def objects(store, bucket):
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from page.get("Contents", [])


if __name__ == "__main__":
    {"upload": upload, "make": make, "measure": measure, "remove": remove}[sys.argv[1]](boto3.client("s3"), *sys.argv[2:])
