# shellcheck shell=bash
# Sourced by run and events.

# load_dotenv reads variables from the file .env in the working directory. Those that
# are already in the environment have precedence. A value is used literally, without quotes
# around it, and without expansion.
load_dotenv() {
  local line key value
  [ -f .env ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    [[ ${line%$'\r'} =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
    key=${BASH_REMATCH[2]}
    value=${BASH_REMATCH[3]}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then value=${BASH_REMATCH[1]}; fi
    [ -n "${!key+given}" ] || export "$key=$value"
  done <.env
}
