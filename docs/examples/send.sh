#!/bin/sh
# Sends a text and shows what became of it. Usage: SMSAPP_URL=… SMSAPP_API_KEY=… sh send.sh +14155552671 'Hello'
set -eu
key="send-$(date +%s)-$$" # the same for each repetition, new for each message
accepted=$(curl --silent --show-error --fail-with-body --retry 4 "$SMSAPP_URL/sms/send" \
    -H "Authorization: Bearer $SMSAPP_API_KEY" -H "Idempotency-Key: $key" \
    -H 'Content-Type: application/json' -d "{\"to\": \"$1\", \"body\": \"$2\"}")
id=$(printf %s "$accepted" | sed 's/.*"id": *"\(msg_[0-9a-f]*\)".*/\1/')
curl --silent --show-error --fail-with-body --retry 4 "$SMSAPP_URL/sms/messages/$id?wait=${WAIT:-20}" \
    -H "Authorization: Bearer $SMSAPP_API_KEY"
