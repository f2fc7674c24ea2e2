# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# A parent chart contains this chart, and its condition turns the service on and off.
scenario_umbrella() {
  local flag flags=() before
  namespace umbrella
  backing
  local chart=$scratch/umbrella
  mkdir -p "$chart/charts"
  cp -r "$root/charts/user-service" "$chart/charts"
  cat >"$chart/Chart.yaml" <<EOT
apiVersion: v2
name: platform
version: 0.1.0
dependencies:
  - name: user-service
    version: $(sed -n 's/^version: //p' "$root/charts/user-service/Chart.yaml")
    condition: user-service.enabled
EOT
  for flag in "${image[@]}" "${existing[@]}"; do
    [ "$flag" = --set ] || flags+=(--set "user-service.$flag")
  done
  before=$(objects | grep -v helm.release)
  install "${flags[@]}" --set user-service.enabled=false
  [ "$(objects | grep -v helm.release)" = "$before" ] || fail "a service that is turned off has objects: $(objects | tr '\n' ' ')"
  upgrade "${flags[@]}" --set user-service.enabled=true
  use_it
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test"
  upgrade "${flags[@]}" --set user-service.enabled=false
  left "$(sort <<<"$before"$'\n'"$(objects | grep helm.release)")"
  say "umbrella: the condition of a parent chart installs and removes the service"
}
