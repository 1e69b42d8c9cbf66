#!/usr/bin/env bash
# services.sh of the projects, with those services beside it that no feature has yet.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P) && core=$here/../templates/exampled/scripts
SERVICES_PATH=${SERVICES_PATH:-$core/services:$here/services} exec "$core/services.sh" "$@"
