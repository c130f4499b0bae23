"""Which names of variables are taken for credentials, and what is said where `${env:...}` asks for one."""

from __future__ import annotations

import pytest

from otrainer.config.credentials import credential_in

from .config_project import HEAD, Project

CREDENTIALS = """
TOKEN HF_TOKEN GITHUB_TOKEN_2 TOKEN_PROD hf_token API_KEY OPENAI_API_KEY apiKey WANDB_API_KEY COMET_APIKEY API_KEYS
SECRET CLIENT_SECRET SECRET_KEY AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID PRIVATE_KEY SSH_KEY ACCOUNT_KEY
PASSWORD DB_PASSWORD DbPassword PGPASSWORD PASSWD MYSQL_PWD SMTP_PASS PASSPHRASE CREDENTIAL AWS_CREDENTIALS
GOOGLE_APPLICATION_CREDENTIALS AUTH NPM_AUTH AUTHORIZATION BEARER JWT AZURE_STORAGE_CONNECTION_STRING
"""
OTHERS = """
TOKENIZER_PATH TOKENIZERS_PARALLELISM MAX_TOKENS N_TOKENS TOKENS MAX_TOKEN PAD_TOKEN EOS_TOKEN_ID TOKEN_LIMIT
AUTHOR AUTHORITY AUTH_URL USE_AUTH MONKEY KEYBOARD SORT_KEY LABEL_KEY KEY KEYS SECRETARY SECRET_NAME PASSWORD_FILE
PWD OLDPWD PASS COMPASS PASSAGES ACCESS_LOG API_URL PRIVATE SEED LR HOME CUDA_VISIBLE_DEVICES SLURM_JOB_ID
"""


@pytest.mark.parametrize("name", CREDENTIALS.split())
def test_a_credential_is_known_by_a_word_in_its_name(name):
    assert credential_in(name) is not None


@pytest.mark.parametrize("name", OTHERS.split())
def test_other_names_pass(name):
    assert credential_in(name) is None


def test_a_credential_in_the_open_is_refused_with_its_place(project: Project):
    """Whatever the cast or the default, and whether it is set or not; its value is not told."""
    text = HEAD + "a: 'postgres://u:${env:DB_PASSWORD}@host'\nb: ${env:int:API_KEY,0}\nc: ${env:SEED,1}\n"
    assert (
        project.drawn(text, env={"DB_PASSWORD": "hunter2"})
        == """
credential in the open ── exp.yaml:3:18
  2 | model: {}
  3 | a: 'postgres://u:${env:DB_PASSWORD}@host'
    |                  ^^^^^^^^^^^^^^^^^^
  By its name (`PASSWORD`) the environment variable `DB_PASSWORD` holds a credential.
  Write `${secret:DB_PASSWORD}`, which is written down nowhere; what may be seen needs another name.

credential in the open ── exp.yaml:4:4
  3 | a: 'postgres://u:${env:DB_PASSWORD}@host'
  4 | b: ${env:int:API_KEY,0}
    |    ^^^^^^^^^^^^^^^^^^^^
  By its name (`API_KEY`) the environment variable `API_KEY` holds a credential.
  Write `${secret:API_KEY}`, which is written down nowhere; what may be seen needs another name.
"""
    )
