# shellcheck shell=bash
# Sourced by run and events.

# load_dotenv takes variables from the file .env in the working directory. Those that
# are in the environment already win. A value is taken as it stands, without quotes
# around it: nothing in it is expanded or run.
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
