// The types of Grafana's dashboards. Enums are the values that the JSON has. No property is required, because Grafana sets missing ones to
// their defaults.
import type * as Grafana from '@grafana/schema';
import type * as Heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = unknown extends T
  ? T
  : T extends string
    ? string extends T ? string : `${T}`
    : T extends number
      ? number extends T ? number : `${T}` extends `${infer N extends number}` ? N : never
      : T extends (infer E)[]
        ? Plain<E>[]
        : T extends object
          ? { [K in keyof T]?: Plain<T[K]> }
          : T;

// The data source Prometheus adds properties to an annotation.
interface Annotation extends Omit<Plain<Grafana.AnnotationQuery>, 'target'> {
  target?: { refId: string; expr: string; interval: string };
  titleFormat?: string;
  textFormat?: string;
  useValueForTime?: boolean;
}

export interface Dashboard extends Omit<Plain<Grafana.Dashboard>, 'annotations'> {
  annotations?: { list?: Annotation[] };
}
export type Panel = Plain<Grafana.Panel>;
export type Row = Plain<Grafana.RowPanel>;

export interface Options {
  heatmap: Plain<Heatmap.Options>;
  stat: Plain<Stat.Options>;
  table: Plain<Table.Options>;
  timeseries: Plain<TimeSeries.Options>;
}

export interface Custom {
  heatmap: Plain<Heatmap.FieldConfig>;
  timeseries: Plain<TimeSeries.FieldConfig>;
}
