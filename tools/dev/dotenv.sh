# shellcheck shell=bash
# Sourced by run and events.

# load_dotenv exports the variables of the file .env in the working directory, unless the
# environment already has them. Quotes around a value are removed. Values are neither
# expanded nor executed.
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
