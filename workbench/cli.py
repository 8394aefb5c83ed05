"""placeholder"""
import sys
def main(argv=None):
    from workbench import headless, preset
    a=sys.argv[1:]
    from workbench.errors import WorkbenchError
    try:
        return headless.train(preset.load(a[1], sets=[a[i+1] for i in range(len(a)) if a[i]=='--set']), telling=headless.Telling(json='--json' in a))
    except WorkbenchError as e:
        print(e, file=sys.stderr); return e.exit_code
