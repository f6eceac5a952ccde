#!/bin/sh
printf 'Content-Type: text/plain; charset=utf-8\r\n\r\n'
for name in LINE UNIT LIMIT RATE ALARM SHIFT SENSORS STEPS NOTE; do
    eval "printf '%s=%s\n' $name \"\$$name\""
done
