"""The AWS stand-in with a guard: once it is told to, the policies of whoever signs a call decide, and each decision is noted.

    guarded_aws.py PORT NOTES      NOTES gets a JSON object per line: a decision, or an invocation of a function

moto decides by action and resource. Outside S3 it forgets what the call is about, and calls some actions otherwise than AWS; both
are put right here. It does not know conditions: what they say is held by test_template.py.
"""

import json
import sys

import moto.iam.access_control as access
from moto.awslambda.models import LambdaFunction
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.sns.responses import SNSResponse
from werkzeug.serving import run_simple


def note(**facts):
    with open(NOTES, "a") as notes:
        notes.write(json.dumps(facts) + "\n")


def secret_of(response):
    """The ARN of the secret that the call names; a secret that does not exist has one that nobody may read."""
    name = json.loads(response.body or "{}").get("SecretId", "")
    secret = next((s for s in response.backend.secrets.values() if name in (s.arn, s.name)), None)
    return secret.arn if secret else "arn:aws:secretsmanager:::secret:there-is-none"


def topic_of(response):
    return (response.querystring.get("TopicArn") or ["*"])[0]


def check(request, resource):
    service, action = request._action.split(":", 1)
    if service == "lambda" and action == "Invoke":
        request._action = "lambda:InvokeFunction"
        name = request._path.split("/functions/")[1].split("/")[0]
        resource = f"arn:aws:lambda:{request._region}:{request.account_id}:function:{name}"
    allowed = False
    try:
        decide(request, resource)
        allowed = True
    finally:
        note(caller=request._access_key.arn, action=request._action, resource=resource, allowed=allowed)


def read(policy, document):
    """CloudFormation's policies of roles are dictionaries, where all others are text."""
    is_plain = isinstance(document, dict) and "Statement" in document
    construct(policy, json.dumps(document) if is_plain else document)


def invoke(function, body, request_headers, response_headers):
    note(invoked=function.function_name, event=json.loads(body))
    return "{}"


if __name__ == "__main__":
    PORT, NOTES = int(sys.argv[1]), sys.argv[2]
    decide, access.IAMRequestBase.check_action_permitted = access.IAMRequestBase.check_action_permitted, check
    # It signs some paths otherwise than AWS. Who calls is told by the access key.
    access.IAMRequestBase.check_signature = lambda request: None
    construct, access.IAMPolicy.__init__ = access.IAMPolicy.__init__, read
    SecretsManagerResponse._determine_resource = secret_of
    SNSResponse._determine_resource = topic_of
    LambdaFunction.invoke = invoke
    run_simple("127.0.0.1", PORT, DomainDispatcherApplication(create_backend_app), threaded=True)
